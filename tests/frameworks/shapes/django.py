"""Classes of Django."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import clear_url_caches, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView, TemplateView

from stepup_middleware.asgi import ASGIApp

from . import Make, Ran, Shape, Tag, add_to, methods_of

SHAPES: dict[str, Shape] = {}


def app(view: Any) -> ASGIApp:
    import django

    urls = ModuleType("urls")
    urls.urlpatterns = [path("x", view)]  # type: ignore[attr-defined]
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="s", LOGGING_CONFIG=None, APPEND_SLASH=False)
        django.setup()
    settings.ROOT_URLCONF = urls
    clear_url_caches()
    return cast(ASGIApp, get_asgi_application())


def _shape(name: str, **settings: Any) -> Callable[[Make], Make]:
    return add_to(SHAPES, app, name, **settings)


def answers(ran: Ran) -> Any:
    def answer() -> HttpResponse:
        ran()
        return HttpResponse("ran")

    return answer


def view(*bases: type[Any], **members: Any) -> Any:
    return type("Shaped", bases or (View,), {"__module__": __name__, **members})


@_shape("async handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(**methods_of(answers(ran)))).as_view()


@_shape("sync handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(**methods_of(answers(ran), sync=True))).as_view()


@_shape("an own dispatch()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(dispatch=methods_of(answers(ran), sync=True)["get"])).as_view()


@_shape("an own async dispatch()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(**methods_of(answers(ran)), dispatch=methods_of(answers(ran))["get"])).as_view()


@_shape("an own options()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(options=methods_of(answers(ran), sync=True)["get"])).as_view()


@_shape("an own setup()")
def _(tag: Tag, ran: Ran) -> Any:
    def setup(self: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        ran()
        View.setup(self, request, *args, **kwargs)

    return tag(view(setup=setup)).as_view()


@_shape("an own http_method_not_allowed()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(http_method_not_allowed=methods_of(answers(ran), sync=True)["get"])).as_view()


@_shape("an own __init__()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(__init__=lambda self, **given: ran())).as_view()


@_shape("an own as_view()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(as_view=classmethod(lambda cls: lambda request: answers(ran)()))).as_view()


@_shape("an own as_view() around the inherited one")
def _(tag: Tag, ran: Ran) -> Any:
    def as_view(cls: Any, /, **given: Any) -> Any:
        inner = super(kind, cls).as_view(**given)

        def outer(request: Any) -> Any:
            ran()
            return inner(request)

        return outer

    kind = tag(view(as_view=classmethod(as_view), **methods_of(answers(ran), sync=True)))
    return kind.as_view()


@_shape("an as_view() that is no class method")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(as_view=staticmethod(lambda: lambda request: answers(ran)()))).as_view()


@_shape("derived, with handlers")
def _(tag: Tag, ran: Ran) -> Any:
    return view(tag(view()), **methods_of(answers(ran))).as_view()


@_shape("derived, with an own dispatch()")
def _(tag: Tag, ran: Ran) -> Any:
    return view(tag(view()), dispatch=methods_of(answers(ran), sync=True)["get"]).as_view()


@_shape("derived, with an own as_view()")
def _(tag: Tag, ran: Ran) -> Any:
    return view(tag(view()), as_view=classmethod(lambda cls: lambda request: answers(ran)())).as_view()


@_shape("derived, behind a mixin with dispatch()")
def _(tag: Tag, ran: Ran) -> Any:
    mixin = view(object, dispatch=methods_of(answers(ran), sync=True)["get"])
    return view(mixin, tag(view())).as_view()


@_shape("derived, behind a mixin that keeps __init_subclass__ to itself")
def _(tag: Tag, ran: Ran) -> Any:
    def as_view(cls: Any) -> Any:
        def inner(request: Any) -> Any:
            return answers(ran)()

        inner.view_class = cls  # type: ignore[attr-defined]
        return inner

    mixin = view(object, as_view=classmethod(as_view), __init_subclass__=classmethod(lambda cls: None))
    return view(mixin, tag(view())).as_view()


@_shape("handlers that are added after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(view())
    for name, way in methods_of(answers(ran), sync=True).items():
        setattr(kind, name, way)
    return kind.as_view()


@_shape("a dispatch() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(view())
    kind.dispatch = methods_of(answers(ran), sync=True)["get"]
    return kind.as_view()


@_shape("as_view() called before the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = view(**methods_of(answers(ran), sync=True))
    made = kind.as_view()
    tag(kind)
    return made


@_shape("as_view(dispatch=...)")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view()).as_view(dispatch=lambda request: answers(ran)())


@_shape("a method of its own")
def _(tag: Tag, ran: Ran) -> Any:
    own = {"http_method_names": ["get", "query"], "query": methods_of(answers(ran), sync=True)["get"]}
    return tag(view(**own)).as_view()


@_shape("a generic view")
def _(tag: Tag, ran: Ran) -> Any:
    def context(self: Any, **given: Any) -> Any:
        ran()
        return {}

    return tag(view(TemplateView, template_name="none", get_context_data=context)).as_view()


@_shape("a redirecting view")
def _(tag: Tag, ran: Ran) -> Any:
    def where(self: Any, *args: Any, **kwargs: Any) -> str:
        ran()
        return "/there"

    return tag(view(RedirectView, get_redirect_url=where)).as_view()


@_shape("method_decorator above the tag")
def _(tag: Tag, ran: Ran) -> Any:
    return method_decorator(csrf_exempt, name="dispatch")(tag(view(**methods_of(answers(ran), sync=True)))).as_view()


@_shape("method_decorator below the tag")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(method_decorator(csrf_exempt, name="dispatch")(view(**methods_of(answers(ran))))).as_view()


@_shape("an instance with a sync __call__()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(object, __call__=methods_of(answers(ran), sync=True)["get"]))()


@_shape("a view's instance with __call__()")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(__call__=methods_of(answers(ran), sync=True)["get"]))()


@_shape("a __call__() that is set after the tag")
def _(tag: Tag, ran: Ran) -> Any:
    kind = tag(view())
    kind.__call__ = methods_of(answers(ran), sync=True)["get"]
    return kind()


@_shape("a bound method of a tagged class")
def _(tag: Tag, ran: Ran) -> Any:
    return tag(view(other=methods_of(answers(ran), sync=True)["get"]))().other


@_shape("a metaclass with __call__()")
def _(tag: Tag, ran: Ran) -> Any:
    def call(cls: Any, **given: Any) -> Any:
        ran()
        return type.__call__(cls, **given)

    meta = type("Meta", (type,), {"__call__": call})
    return tag(meta("Shaped", (View,), {"__module__": __name__, **methods_of(answers(ran))})).as_view()
