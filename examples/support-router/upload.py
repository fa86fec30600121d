"""Puts the example's base model and data into an S3 store: `python upload.py`.

Keys and place come from the usual variables: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
Buckets are made if they are missing; an object that is there already, byte for byte, is left alone.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from make_base import cached_base

DATA = Path(__file__).resolve().parent / "data"
MODEL_BUCKET, MODEL_PREFIX = "models", "support-router-base"
DATA_BUCKET, DATA_PREFIX = "data", "support-router"
NOT_MODEL = {"COMPLETE", "recipe.json"}


def main() -> None:
    """Uploads what is not there yet, and says what it does."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    model = [p for p in sorted(cached_base().iterdir()) if p.name not in NOT_MODEL]
    s3 = boto3.client("s3")
    send(s3, MODEL_BUCKET, MODEL_PREFIX, model)
    send(s3, DATA_BUCKET, DATA_PREFIX, sorted(DATA.glob("*.jsonl")))


def send(s3: Any, bucket: str, prefix: str, files: list[Path]) -> None:
    """Uploads files below a prefix."""
    make_bucket(s3, bucket)
    for path in files:
        key = f"{prefix}/{path.name}"
        same = is_there(s3, bucket, key, path)
        if not same:
            s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
        print(f"  s3://{bucket}/{key:<45} {path.stat().st_size:>12,} bytes{'  (there already)' if same else ''}")


def make_bucket(s3: Any, bucket: str) -> None:
    """Makes a bucket unless it is there and ours."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        s3.create_bucket(Bucket=bucket)


def is_there(s3: Any, bucket: str, key: str, path: Path) -> bool:
    """Whether the object equals the file: the ETag of an object that was put in one piece is its MD5."""
    try:
        etag = s3.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
    except ClientError:
        return False
    return bool(etag == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())


if __name__ == "__main__":
    main()
