"""Two peers on Django, each as its documentation has it: a single-use token of django-scoped-access, whose cache is
Django's on the database, and the window of django-allauth's ``reauthentication_required``.

gunicorn serves ``wsgi``. ``python -m tests.benchmarks.django_app create`` makes the database at ``BENCHMARK_DATABASE``
with a signed-in person and prints their cookies; ``mint N`` prints tokens in place of those before. Neither peer writes
a log of its own, and none is written here: they do less.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from datetime import timedelta
from typing import Any

import django
from django.conf import settings

CSRF = "c" * 32
settings.configure(
    SECRET_KEY="a key of the benchmarks, of no other use",
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCHMARK_DATABASE"],
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
            },
        }
    },
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cache",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
        "scoped_access",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
    ACCOUNT_REAUTHENTICATION_TIMEOUT=3600,  # longer than the benchmark takes
    SCOPED_ACCESS={"HIERARCHY": [{"level": "GLOBAL"}], "REAUTH": {"ENABLED": True, "TTL": 300}},
)
django.setup()

from allauth.account.decorators import reauthentication_required  # noqa: E402 - needs what is set up above
from allauth.account.internal.flows.login import record_authentication  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from scoped_access.reauth import ReAuthService  # noqa: E402
from scoped_access.reauth.service import TOKEN_PREFIX  # noqa: E402

from .deployed import settle  # noqa: E402


def transmit_scoped(request: HttpRequest, run: str) -> HttpResponse:
    """Consume a token, and say so."""
    if not ReAuthService.consume(request.headers.get("X-ReAuth-Token"), request.user):
        return JsonResponse({"reauth_required": True}, status=403)
    return JsonResponse({"sent": run})


@reauthentication_required
def transmit_allauth(request: HttpRequest, run: str) -> HttpResponse:
    """Do nothing in the window, and say so."""
    return JsonResponse({"sent": run})


urlpatterns = [path("scoped/<run>/transmit", transmit_scoped), path("allauth/<run>/transmit", transmit_allauth)]
wsgi = get_wsgi_application()
settle()


def create() -> str:
    """Make the database, and return the cookie of somebody who signed in and has just authenticated again."""
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    user: Any = get_user_model().objects.create_user("owner", password=secrets.token_urlsafe())
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    request = HttpRequest()
    request.session = session
    record_authentication(request, user, method="password", reauthenticated=True)
    session.create()
    return f"sessionid={session.session_key}; csrftoken={CSRF}"


def mint(count: int) -> list[str]:
    """Return so many tokens; those before are gone, for the cache counts its rows with each write."""
    user: Any = get_user_model().objects.get()
    cache.clear()
    held = {
        "user_id": str(user.pk),
        "generation": ReAuthService._generation(user),
        "expires": (timezone.now() + timedelta(seconds=300)).isoformat(),
    }
    tokens = [secrets.token_urlsafe(32) for _ in range(count)]
    cache.set_many({TOKEN_PREFIX + token: held for token in tokens}, timeout=600)
    return tokens


if __name__ == "__main__":
    made: object = create() if sys.argv[1] == "create" else mint(int(sys.argv[2]))
    sys.stdout.write(json.dumps(made))
