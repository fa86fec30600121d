"""Secrets taken out of text that a pod left, before it is shown to whoever may read Events. Pure.

Pods mask what they write themselves; this is for a pod that ended before it could, whose last lines the kubelet took.
"""

import re

MASK = "[secret]"
_SECRETS = (
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\bhf_[A-Za-z0-9]{16,}\b"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(?<=X-Amz-Signature=)[0-9a-f]+"),
    re.compile(r"(?i)(?<=X-Amz-Security-Token=)[^&\s\"']+"),
)
_NAMED = re.compile(
    r"(?i)\b([A-Z0-9_.-]*(?:secret|token(?!s)|password|passwd|api_?key|access_?key)[A-Z0-9_.-]*[\"']?\s*[:=]\s*[\"']?)"
    r"(?![\d.]+\b)([^\s\"',;&}]{6,})"
)
"""`name=value` and `"name": "value"` where the name says that the value is a secret."""


def masked(text: str) -> str:
    """The same text without what looks like a key, a token or a password."""
    for secret in _SECRETS:
        text = secret.sub(MASK, text)
    return _NAMED.sub(rf"\1{MASK}", text)
