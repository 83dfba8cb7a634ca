"""What a server far away says when it refuses or is not there, in the user's words."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["met_another", "refused_since_there", "told_by_server"]

_BY_CODE = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct its name",
    "AccessDenied": "access is denied to the credentials that were used",
    "403": "access is denied to the credentials that were used",
    "AllAccessDisabled": "access is denied to everybody",
    "InvalidAccessKeyId": "the server does not know the access key that was used",
    "SignatureDoesNotMatch": "the server does not accept the secret key that was used",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "the clock of this machine differs too much from the server's",
    "InvalidBucketName": "no bucket can be named so",
    "PermanentRedirect": "the bucket is in another region: set its region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set its region",
    "QuotaExceeded": "the quota there is used up",
    "SlowDown": "the server has too much to do",
    "ServiceUnavailable": "the server has too much to do",
    "503": "the server has too much to do",
    "InternalError": "the server failed",
    "500": "the server failed",
}
"""By the code that an S3 server answers with."""

_NO_CREDENTIALS = (
    "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the resource "
    "'s3' a profile_name"
)
_UNREACHABLE = "the server cannot be reached"
_BY_KIND = {
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "CredentialRetrievalError": "the credentials could not be fetched",
    "TokenRetrievalError": "the session of the credentials has ended: sign in again",
    "UnauthorizedSSOTokenError": "the session of the credentials has ended: sign in again",
    "SSOTokenLoadError": "the session of the credentials has ended: sign in again",
    "ProfileNotFound": "there is no such profile of credentials",
    "ParamValidationError": "no bucket or file can be named so",
    "ConnectTimeoutError": _UNREACHABLE,
    "ConnectionClosedError": "the connection was cut",
    "ResponseParserError": "what answers there is no S3 server",
    "ReadTimeoutError": "the server does not answer",
    "FSTimeoutError": "the server does not answer",
    "TimeoutError": "the server does not answer",
    "IncompleteReadError": "the connection was cut",
    "ClientPayloadError": "the connection was cut",
    "HTTPClientError": _UNREACHABLE,
    "ConnectionError": _UNREACHABLE,
}
"""By the class of the error, or one that it derives from; the libraries that define them need not be there."""

_PATH_OF_URL = re.compile(r"""(https?://[^/\s"']+)[^\s"']*""")
"""Which file it was is said already."""


def told_by_server(error: BaseException) -> str | None:
    """Say what went wrong, as the end of a sentence; None where the error is no server's."""
    answer = _answer(error)
    if answer:
        code, said = _code(answer), " ".join(str(answer.get("Error", {}).get("Message", "")).split())
        known = _BY_CODE.get(code)
        return f"{known} ({code})" if known else f"the server answered {code}: {said}"
    for kind in type(error).__mro__:
        if kind.__name__ in _BY_KIND:
            said = _PATH_OF_URL.sub(r"\1", " ".join(str(error).split()))
            return f"{_BY_KIND[kind.__name__]} ({said})" if said else _BY_KIND[kind.__name__]
    return None


def refused_since_there(error: BaseException) -> bool:
    """Whether a file was not put because one of its name is there already."""
    if isinstance(error, FileExistsError):
        return True
    answer = _answer(error)
    return answer is not None and (_code(answer) in {"PreconditionFailed", "412"} or _status(answer) == 412)


def met_another(error: BaseException) -> bool:
    """Whether a file was not put because another one of its name was being put at that moment."""
    answer = _answer(error)
    return answer is not None and _code(answer) == "ConditionalRequestConflict"


def _answer(error: BaseException | None) -> dict[str, Any] | None:
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            return answer
        error = error.__cause__
    return None


def _code(answer: dict[str, Any]) -> str:
    return str(answer.get("Error", {}).get("Code", ""))


def _status(answer: dict[str, Any]) -> int | None:
    found: int | None = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return found
