"""Put the examples' data and the base model that all of them start from into S3, where the FineTuneJobs read them.

    python upload.py                        # every example
    python upload.py brand-voice            # one, or several
    python upload.py --base DIR             # a base model of your own in the place of the examples'

The base model is made first if it is not in the cache (a few minutes, once). The store and its keys come from the
environment, under their usual names: AWS_ENDPOINT_URL (left out: Amazon S3), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_REGION. Objects that are there already, byte for byte, are skipped.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

HERE = Path(__file__).resolve().parent
NAMES = sorted(folder.parent.name for folder in HERE.glob("*/data"))
MODELS, DATA = "models", "data"
BASE_PREFIX = "support-router-base"
NOT_MODEL = {"COMPLETE", "recipe.json"}  # how the model was made, not the model
DIGEST = "sha256"  # the metadata key that says what an object holds


def main() -> int:
    """Upload everything; returns 1, with what to do on stderr, if the store cannot be reached or refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which examples: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--base", type=Path, metavar="DIR", help="folder of the base model (default: from the cache)")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(NAMES)):
        parser.error(f"no such example: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    base = arguments.base or cached_base()
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "Amazon S3")
    try:
        store = boto3.client("s3", region_name=os.environ.get("AWS_REGION"))
        for bucket in (MODELS, DATA):
            ensure_bucket(store, bucket)
        for path, bucket, key in plan(base, arguments.names or NAMES):
            print(f"{upload(store, path, bucket, key)}  s3://{bucket}/{key}", flush=True)
    except (BotoCoreError, ClientError) as error:
        print(
            f"upload to {endpoint} failed: {error}\n"
            "Set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION for a store that may make "
            f"the buckets {MODELS} and {DATA}.",
            file=sys.stderr,
        )
        return 1
    return 0


def cached_base() -> Path:
    """The folder of the base model in the cache, made first if it is not there."""
    command = [sys.executable, str(HERE / "support-router" / "make_base.py"), "--cache"]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def plan(base: Path, names: Sequence[str]) -> Iterator[tuple[Path, str, str]]:
    """Yield what goes where: file, bucket and key of every object."""
    for path in sorted(base.iterdir()):
        if path.name not in NOT_MODEL:
            yield path, MODELS, f"{BASE_PREFIX}/{path.name}"
    for name in names:
        folder = HERE / name / "data"
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "README.md":
                yield path, DATA, f"{name}/{path.relative_to(folder).as_posix()}"


def ensure_bucket(store: Any, bucket: str) -> None:
    """Make the bucket unless it is there."""
    try:
        store.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        region = store.meta.region_name
        elsewhere = region not in (None, "us-east-1", "aws-global")  # S3 wants its first region left unsaid
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
        store.create_bucket(Bucket=bucket, **place)


def upload(store: Any, path: Path, bucket: str, key: str) -> str:
    """Upload one file unless the same bytes are there; returns what was done, in a word."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if stored_digest(store, bucket, key) == digest:
        return "there already"
    store.upload_file(str(path), bucket, key, ExtraArgs={"Metadata": {DIGEST: digest}})
    return "uploaded     "


def stored_digest(store: Any, bucket: str, key: str) -> str | None:
    """SHA-256 that an earlier upload noted on the object; None if there is no object or no note."""
    try:
        noted: str | None = store.head_object(Bucket=bucket, Key=key)["Metadata"].get(DIGEST)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        return None
    return noted


if __name__ == "__main__":
    sys.exit(main())
