"""Secrets taken out of text that a pod left, before it is shown to whoever may read Events. Pure.

Pods mask the keys that they know; this is for what else looks like one, and for a pod that ended before it could, whose
last lines the kubelet took. Every pattern takes time in proportion to the text, for anybody may write it.
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
    r"(?i)((?:secret|token(?!s)|password|passwd|api_?key|access_?key)[A-Z0-9_.-]{0,64}[\"']?\s{0,8}[:=]\s{0,8}[\"']?)"
    r"(?![\d.]+\b)([^\s\"',;&}]{6,})"
)
"""`name=value` and `"name": "value"` where the name says that the value is a secret."""


def masked(text: str) -> str:
    """The same text without what looks like a key, a token or a password."""
    for secret in _SECRETS:
        text = secret.sub(MASK, text)
    return _NAMED.sub(rf"\1{MASK}", text)
