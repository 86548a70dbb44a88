"""The pages and the files they are made of."""

from quart import Response, send_from_directory
from quart.typing import ResponseReturnValue

from .login import Visit
from .route import Access, Route
from .services import WebServices

# Names carry no version, so browsers ask each time; an unchanged file is answered by 304.
_REVALIDATE = "no-cache"


class PageRoutes:
    def __init__(self, services: WebServices) -> None:
        self._static = services.static

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path="/",
                handler=self.stream_page,
                access=Access.PAGE,
                summary="The stream page.",
                answers={200: "HTML.", 302: "To the log-in page."},
            ),
            Route(
                method="GET",
                path="/login",
                handler=self.login_page,
                access=Access.PUBLIC,
                summary="The log-in page.",
                answers={200: "HTML."},
            ),
            Route(
                method="GET",
                path="/static/<path:file>",
                handler=self.file,
                access=Access.PUBLIC,
                summary="Scripts, styles and pictures of the pages.",
                answers={200: "The file.", 304: "It has not changed."},
            ),
        )

    async def stream_page(self, visit: Visit) -> ResponseReturnValue:
        return await self.file("index.html")

    async def login_page(self) -> ResponseReturnValue:
        return await self.file("login.html")

    async def file(self, file: str) -> Response:
        response = await send_from_directory(self._static, file)
        response.headers["Cache-Control"] = _REVALIDATE
        return response
