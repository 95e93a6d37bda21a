"""What is wrong with a request, whoever would serve it."""


class Invalid(Exception):
    """The request cannot be served as it is; `param` names the member to mend (None: the body as a whole)."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
