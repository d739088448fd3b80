# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The APIs of AWS by boto3, which is loaded when a call is made: who we are, in which region, and errors as ours."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import ConfigError, DeliveryError, MissingDependency, Unavailable
from ..core.options import Option, Options
from .web import forbidden, parse

AWS_OPTIONS: Options = {
    "region": Option("str", "Region. Default is E(AWS_REGION), E(AWS_DEFAULT_REGION), then the profile's."),
    "profile": Option("str", "Profile of the AWS configuration files. Default is E(AWS_PROFILE)."),
    "access_key": Option("str", "Access key ID. Default: as boto3 finds credentials, from the environment, files, or the role of the machine.", secret=True),
    "secret_key": Option("str", "Its secret access key.", secret=True),
    "session_token": Option("str", "Its session token, where it has one.", secret=True),
    "role_arn": Option("str", "Role to assume with these credentials; it is assumed anew before it expires."),
    "external_id": Option("str", "External ID that the role's trust asks for.", secret=True),
    "endpoint_url": Option("str", "Where the service is, for a VPC endpoint of a name of its own. Default is E(AWS_ENDPOINT_URL), then AWS itself."),
}
TRIES = 3
"""Times that one call is made: throttled, or failed on the way. The pauses between them are botocore's, with jitter."""
EARLY = 300.0
"""Seconds before its end that an assumed role is assumed anew."""

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_THROTTLED = ("LimitExceededException", "RequestLimitExceeded", "RequestThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException")
_UNKNOWN = ("ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId", "RequestExpired", "SignatureDoesNotMatch",
            "UnrecognizedClientException")  # fmt: skip
_REFUSED = ("InvalidParameterCombination", "InvalidParameterCombinationException", "InvalidParameterValue", "InvalidParameterValueException",
            "MissingParameter", "MissingRequiredParameterException", "ValidationError", "ValidationException")  # fmt: skip


class Aws:
    """One service. ``options``: validated ones of :data:`AWS_OPTIONS`; ``timeout``: seconds for connecting, and for each answer."""

    def __init__(self, service: str, options: Mapping[str, Any], timeout: float, clock: Callable[[], float] = time.time) -> None:
        self.service = service
        self.where = service
        self._options = dict(options)
        self._timeout = timeout
        self._clock = clock
        self._client: Any = None
        self._until = float("inf")  # of an assumed role
        if bool(options.get("access_key")) != bool(options.get("secret_key")) or (options.get("session_token") and not options.get("access_key")):
            raise ConfigError("access_key and secret_key belong together", where=service)
        if options.get("external_id") and not options.get("role_arn"):
            raise ConfigError("an external_id without a role", where=service, do="Give role_arn.")
        if options.get("endpoint_url"):
            parse(options["endpoint_url"])

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer of an operation, by botocore's name for it. Raises Unavailable; ConfigError for what the service refuses; MissingDependency."""
        _boto3, exceptions = _libraries()
        try:
            if self._client is None or self._clock() > self._until - EARLY:
                self._client = self._made()
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
            return answer
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001  botocore trusts the shape of an answer, and stumbles over one that has another
            raise self._translated(error, exceptions) from None

    def _made(self) -> Any:
        boto3, _exceptions = _libraries()
        given = self._options
        session = boto3.session.Session(
            aws_access_key_id=given.get("access_key"), aws_secret_access_key=given.get("secret_key"), aws_session_token=given.get("session_token"),
            region_name=given.get("region"), profile_name=given.get("profile"),
        )  # fmt: skip
        if given.get("role_arn"):
            asked = {"RoleArn": given["role_arn"], "RoleSessionName": "progressive.delivery"}
            if given.get("external_id"):
                asked["ExternalId"] = given["external_id"]
            assumed = session.client("sts", config=self._config()).assume_role(**asked)["Credentials"]
            self._until = assumed["Expiration"].timestamp()
            session = boto3.session.Session(
                aws_access_key_id=assumed["AccessKeyId"], aws_secret_access_key=assumed["SecretAccessKey"], aws_session_token=assumed["SessionToken"],
                region_name=session.region_name,
            )  # fmt: skip
        if given.get("endpoint_url"):
            _refuse_metadata(given["endpoint_url"])
        self.where = f"{self.service} {session.region_name or ''}".rstrip()
        return session.client(self.service, endpoint_url=given.get("endpoint_url"), config=self._config())

    def _config(self) -> Any:
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": TRIES}
        return Config(connect_timeout=self._timeout, read_timeout=self._timeout, retries=retries, user_agent_extra="progressive.delivery")

    def _translated(self, error: Exception, exceptions: Any) -> DeliveryError:
        """An error of botocore as one of ours. None of its texts holds a secret."""
        if isinstance(error, exceptions.ClientError):
            return self._answered(error)
        text = " ".join(str(error).split())[:200]
        if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
            return ConfigError("no AWS credentials are found here", where=self.where, do="Set profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        if isinstance(error, (exceptions.NoRegionError, exceptions.InvalidRegionError)):
            return ConfigError("which AWS region?", where=self.where, do="Set region, or AWS_REGION.")
        if isinstance(error, (exceptions.ProfileNotFound, exceptions.ParamValidationError, exceptions.ConfigParseError)):
            return ConfigError(text, where=self.where)
        if isinstance(error, exceptions.BotoCoreError):
            return Unavailable(text, where=self.where)
        return Unavailable(f"an answer that is none ({type(error).__name__})", where=self.where)

    def _answered(self, error: Any) -> DeliveryError:
        told = error.response.get("Error") or {}
        code, text = str(told.get("Code") or "no code"), " ".join(str(told.get("Message") or "").split())[:200]
        said = f"{error.operation_name}: {code}" + (f": {text}" if text else "")
        if code in _THROTTLED:
            return Unavailable(f"{said} ({TRIES} times)", where=self.where, do="Measure less often, or ask AWS for a higher quota.")
        if code in _DENIED:
            return Unavailable(said, where=self.where, do=f"Allow the user or role {self.service}:{error.operation_name}.")
        if code in _UNKNOWN:
            return Unavailable(said, where=self.where, do="Are the credentials right, not over, and is the clock?")
        if code in _REFUSED:
            return ConfigError(said, where=self.where)
        return Unavailable(said, where=self.where)


def _refuse_metadata(url: str) -> None:
    """Raise ConfigError for an endpoint that is a link-local or metadata address."""
    target = parse(url)
    with contextlib.suppress(OSError):  # a name that is not found is told by the call
        for *_kind, address in socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
            if forbidden(str(address[0])):
                raise ConfigError(f"{target.host} is a link-local or metadata address", where="endpoint_url", do="Requests to those are never made.")


def _libraries() -> tuple[Any, Any]:
    """boto3 and botocore's exceptions. Raises MissingDependency."""
    try:
        import boto3.session
        import botocore.exceptions
    except ImportError:
        raise MissingDependency("boto3", needed_for="what is asked of AWS") from None
    return boto3, botocore.exceptions
