"""What the account's API cannot do for a caller: one status, one sentence, the parameter it is about."""


class ApiError(Exception):
    """An answer that is an error. `code` is ours; the flavour of the path decides how it is spelled."""

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after_s = retry_after_s


def missing(what: str, param: str | None = None) -> ApiError:
    """404: it is not there, or not this caller's, which is the same to him."""
    return ApiError(404, f"there is no such {what} in this account", "not_found", param)


def wrong(param: str, message: str) -> ApiError:
    """400: a parameter is not what it should be."""
    return ApiError(400, message, "invalid_parameter", param)
