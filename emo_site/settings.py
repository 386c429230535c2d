"""All settings of the desk. Values that differ between machines come from the environment, read strictly by env.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from emo_site import __version__, process
from emo_site.db import pooler, timeouts
from emo_site.db import urls as database_urls
from emo_site.db.aliases import REPLICA_PREFIX, SHARD_PREFIX, TIMESERIES_ALIAS, is_replica
from emo_site.env import Refused, load

BASE_DIR = Path(__file__).resolve().parent.parent

env = load(BASE_DIR)

# ---- which desk this is ---------------------------------------------------------------------------------------------

EMO_ENV = env.choice("EMO_ENV", "dev", ("dev", "staging", "prod"))
EMO_VERSION = __version__
_IS_DEV = EMO_ENV == "dev"

DEBUG = env.boolean("EMO_DEBUG", False)

SECRET_KEY = env.secret("SECRET_KEY")
if not SECRET_KEY:
    if not _IS_DEV:
        raise Refused("SECRET_KEY", None, f"set it, or SECRET_KEY_FILE, in {EMO_ENV}: 50 random characters or more")
    SECRET_KEY = "django-insecure-development-only-this-key-signs-nothing-of-value"  # noqa: S105  # dev only

# What was signed or encrypted with an older one stays good while that is named here, the newest first.
SECRET_KEY_FALLBACKS = env.sealing_keys("SECRET_KEY_FALLBACKS")

# Seals the audit trail; trails that were sealed with an older one stay verifiable (docs/audit.md).
_keys = env.sealing_keys("EMO_AUDIT_KEY")
if len(_keys) > 1:
    raise Refused("EMO_AUDIT_KEY", "", "one key is needed, older ones go into EMO_AUDIT_OLD_KEYS", secret=True)
if not _keys and not _IS_DEV:
    raise Refused("EMO_AUDIT_KEY", None, f"set it, or EMO_AUDIT_KEY_FILE, in {EMO_ENV}: 32 random characters or more")
EMO_AUDIT_KEY = _keys[0] if _keys else "development-only-this-key-seals-nothing-of-value"
# Newest first.
EMO_AUDIT_OLD_KEYS = env.sealing_keys("EMO_AUDIT_OLD_KEYS")

ALLOWED_HOSTS = env.listed("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]") if _IS_DEV else ())
if any("/" in host for host in ALLOWED_HOSTS):
    raise Refused("ALLOWED_HOSTS", ",".join(ALLOWED_HOSTS), "host names are needed, without scheme and path")
CSRF_TRUSTED_ORIGINS = env.listed("CSRF_TRUSTED_ORIGINS")

# All that the desk writes; an absolute path outlives the folder of a release.
EMO_DATA_DIR = BASE_DIR / env.text("EMO_DATA_DIR", "data")
if EMO_DATA_DIR.exists() and not EMO_DATA_DIR.is_dir():
    raise Refused("EMO_DATA_DIR", str(EMO_DATA_DIR), "a folder is needed")

# ---- databases ------------------------------------------------------------------------------------------------------

EMO_TIMESCALE = env.choice("EMO_TIMESCALE", "auto", ("auto", "off"))
# How long the time series are kept, in days; None for ever. manage.py apply_retention puts all four into effect.
EMO_RETAIN_MARKET_EVENTS_DAYS = env.days("EMO_RETAIN_MARKET_EVENTS_DAYS", 30, maximum=36_500)
EMO_RETAIN_SYSTEM_HEALTH_DAYS = env.days("EMO_RETAIN_SYSTEM_HEALTH_DAYS", 7, maximum=36_500)
# How much time a chunk of a hypertable holds, and when one is compressed (None: never).
EMO_CHUNK_DAYS = env.integer("EMO_CHUNK_DAYS", 7, minimum=1, maximum=366)
EMO_COMPRESS_AFTER_DAYS = env.days("EMO_COMPRESS_AFTER_DAYS", None, maximum=36_500)
# Django logs SQL only through a debug cursor; apps.py turns it on.
EMO_DB_DEBUG = env.boolean("EMO_DB_DEBUG", False)
# Statements that take longer are counted as slow.
EMO_DB_SLOW_MS = env.integer("EMO_DB_SLOW_MS", 200, minimum=1, maximum=600_000)
EMO_DB_POOL_SIZE = env.integer("EMO_DB_POOL_SIZE", 5, minimum=1, maximum=200)
EMO_DB_POOL_MIN = env.integer("EMO_DB_POOL_MIN", 1, minimum=0, maximum=200)
if EMO_DB_POOL_MIN > EMO_DB_POOL_SIZE:
    raise Refused("EMO_DB_POOL_MIN", str(EMO_DB_POOL_MIN), f"at most EMO_DB_POOL_SIZE, which is {EMO_DB_POOL_SIZE}")

EMO_PROCESS = process.recognise(sys.argv)
_TIMEOUTS = timeouts.defaults(EMO_ENV, serving=EMO_PROCESS.serving)
_STATEMENT_TIMEOUT = env.integer("EMO_DB_STATEMENT_TIMEOUT_SECONDS", _TIMEOUTS.statement, minimum=0, maximum=86_400)
_CONNECTION_DEFAULTS = database_urls.ConnectionDefaults(
    application_name=process.application_name(EMO_PROCESS, environment=EMO_ENV, version=EMO_VERSION),
    timeouts=timeouts.ServerTimeouts(
        # It is for those who wait for a page; out of the same environment it must not end the migrations.
        statement=_STATEMENT_TIMEOUT if EMO_PROCESS.serving else 0,
        lock=env.integer("EMO_DB_LOCK_TIMEOUT_SECONDS", _TIMEOUTS.lock, minimum=0, maximum=86_400),
        idle_in_transaction=env.integer(
            "EMO_DB_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS", _TIMEOUTS.idle_in_transaction, minimum=0, maximum=86_400
        ),
    ),
    # libpq knows no shorter one than 2 s.
    connect_timeout=env.integer("EMO_DB_CONNECT_TIMEOUT_SECONDS", 2, minimum=2, maximum=60),
    pool_min=EMO_DB_POOL_MIN,
    pool_max=EMO_DB_POOL_SIZE,
    pool_timeout=env.integer("EMO_DB_POOL_TIMEOUT_SECONDS", 5, minimum=1, maximum=600),
)


def _server(variable: str, url: str) -> dict[str, Any]:
    """A database that must be a server."""
    database = _database(variable, url)
    if database["ENGINE"] != database_urls.ENGINE_POSTGRESQL:
        raise database_urls.InvalidDatabaseURL(variable, url, "a PostgreSQL server is needed")
    return database


def _sqlite_file() -> dict[str, Any]:
    value = env.text("EMO_SQLITE_PATH", str(EMO_DATA_DIR / f"emo_{EMO_ENV}.sqlite"))
    path = BASE_DIR / value
    if "://" in value:
        raise Refused("EMO_SQLITE_PATH", value, "a file's path is needed; URLs go into EMO_DB_URL", secret=True)
    if path.is_dir() or not (path.parent.is_dir() or EMO_DATA_DIR in path.parents):
        raise Refused("EMO_SQLITE_PATH", value, "a file is needed, in a folder that exists")
    return database_urls.sqlite(path)


def _database(variable: str, url: str) -> dict[str, Any]:
    database = database_urls.parse(url, variable=variable, base_dir=BASE_DIR, defaults=_CONNECTION_DEFAULTS)
    if pooler.between(database) and EMO_PROCESS.needs_sessions:
        reason = "pooler=transaction is for what serves pages; commands, workers and monitor need the server's own URL"
        raise database_urls.InvalidDatabaseURL(variable, url, reason)
    return database


def _default_database() -> dict[str, Any]:
    if url := env.secret("EMO_DB_URL"):
        return _database("EMO_DB_URL", url)
    if _IS_DEV:
        return _sqlite_file()
    if url := env.secret("POSTGRES_URL"):
        return _server("POSTGRES_URL", url)
    raise Refused("POSTGRES_URL", None, f"set it, or EMO_DB_URL, in {EMO_ENV}: there is no silent SQLite outside dev")


DATABASES = {"default": _default_database()}
if _url := env.secret("EMO_TIMESERIES_URL"):
    DATABASES[TIMESERIES_ALIAS] = _database("EMO_TIMESERIES_URL", _url)
_replicas = [
    replica
    for _url in database_urls.split(env.secret("EMO_REPLICA_URLS"))
    for replica in database_urls.each_host(_server("EMO_REPLICA_URLS", _url))
]
for _number, _replica in enumerate(_replicas, start=1):
    DATABASES[f"{REPLICA_PREFIX}{_number}"] = _replica
# Market events past one server: the databases that they are spread over, in an order that never changes.
for _number, _url in enumerate(database_urls.split(env.secret("EMO_MARKET_SHARDS")), start=1):
    if DATABASES.get(TIMESERIES_ALIAS, DATABASES["default"])["ENGINE"] != database_urls.ENGINE_POSTGRESQL:
        allowed = "market events are in SQLite here; only a PostgreSQL server spreads them over others"
        raise Refused("EMO_MARKET_SHARDS", _url, allowed, secret=True)
    DATABASES[f"{SHARD_PREFIX}{_number}"] = _server("EMO_MARKET_SHARDS", _url)
# Seconds a replica may be behind and still be read from.
EMO_REPLICA_MAX_LAG = env.integer("EMO_REPLICA_MAX_LAG", 5, minimum=1, maximum=3600)
# Seconds within which every request is answered, waits for databases included.
EMO_REQUEST_TIMEOUT_SECONDS = env.integer("EMO_REQUEST_TIMEOUT_SECONDS", 9, minimum=1, maximum=600)

DATABASE_ROUTERS = ["emo_site.db.routers.AppRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ---- applications ---------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "emo_site.apps.EmoAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    # Before the next: its collectstatic is the one that runs.
    "emo_site.apps.EmoSiteConfig",
    "django.contrib.staticfiles",
    "csp",
    "django_tasks",
    "django_tasks_db",
    "emo_site.jobs",
    "emo_site.api",
    "emo_site.login",
    "monitoring",
    "orders",
    "reporting",
]

MIDDLEWARE = [
    # Outermost: every answer is counted and has its id.
    "emo_site.request_watch.watched",
    "emo_site.security_headers.fenced",
    # Next: a load balancer asks by plain HTTP and by address, which the others would turn away.
    "monitoring.middleware.answer_load_balancers",
    "emo_site.outages.bounded",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "emo_site.login.session_store.prolonged",
    "orders.order_in_log.OrderInLog",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last: what is inside it is the view alone, which may be asked twice.
    "emo_site.outages.Outages",
]

ROOT_URLCONF = "emo_site.urls"
WSGI_APPLICATION = "emo_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "reporting.context_processors.desk",
            ],
        },
    },
]

# ---- people ---------------------------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = ["emo_site.login.backend.DeskBackend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "home"
# Minutes without use, and hours after the login, after which a session ends.
EMO_SESSION_IDLE_MINUTES = env.integer("EMO_SESSION_IDLE_MINUTES", 60, minimum=5, maximum=1440)
EMO_SESSION_HOURS = env.integer("EMO_SESSION_HOURS", 12, minimum=1, maximum=168)
SESSION_ENGINE = "emo_site.login.session_store"
SESSION_COOKIE_AGE = EMO_SESSION_IDLE_MINUTES * 60
# The row in the database says when a session ends; the cookie goes with the browser.
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
# "required": who may do one of these is refused it while they have no second factor.
EMO_SECOND_FACTOR = env.choice("EMO_SECOND_FACTOR", "optional", ("optional", "required"))
SECOND_FACTOR_PERMISSIONS = (
    "orders.review_stagedorder",
    "orders.override_stagedorder",
    "orders.halt_tradingstatechange",
    "orders.release_tradingstatechange",
    "orders.approve_policyversion",
)

# ---- security -------------------------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "emo_site.error_pages.PasswordFilter"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
# Not "Strict": who follows a link in an alert's e-mail would come logged out.
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
EMO_BEHIND_TLS_PROXY = env.boolean("EMO_BEHIND_TLS_PROXY", False)
if EMO_BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Whose X-Forwarded-For is believed, so that failed logins are counted by the address that asks and not by the proxy's.
EMO_TRUSTED_PROXIES = env.networks("EMO_TRUSTED_PROXIES")
if not _IS_DEV:
    # Browsers take a cookie of such a name from this host alone, over TLS: none from beside or above it.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True

# ---- language, time, files ------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
# ISO dates everywhere: an order's day must not depend on which side of the Atlantic reads it.
DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s"
SHORT_DATE_FORMAT = DATE_FORMAT
SHORT_DATETIME_FORMAT = "Y-m-d H:i"

STATIC_URL = "static/"
STATIC_ROOT = EMO_DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Files come straight from the apps while developing or testing, where nobody has run collectstatic.
WHITENOISE_USE_FINDERS = DEBUG

# ---- the desk -------------------------------------------------------------------------------------------------------

EMO_POLICY_FILE = BASE_DIR / env.text("EMO_POLICY_FILE", "orders/default_policy.yaml")

# Where anchor_audit writes down the heads of all trails: see docs/audit.md.
EMO_AUDIT_ANCHOR_FILE = BASE_DIR / env.text("EMO_AUDIT_ANCHOR_FILE", str(EMO_DATA_DIR / "audit-anchors.jsonl"))

# Who gets the institutional report by e-mail: manage.py send_health_report.
EMO_REPORT_EMAILS = env.listed("EMO_REPORT_EMAILS")

# ---- backups --------------------------------------------------------------------------------------------------------

EMO_BACKUP_DIR = BASE_DIR / env.text("EMO_BACKUP_DIR", str(EMO_DATA_DIR / "backups"))
# How many days, weeks and months keep their newest backup.
EMO_BACKUP_KEEP = env.integers("EMO_BACKUP_KEEP", (7, 4, 12), minimum=0, maximum=1000)
EMO_BACKUP_KEY = env.secret("EMO_BACKUP_KEY")
_url = env.secret("EMO_BACKUP_SCRATCH_URL")
EMO_BACKUP_SCRATCH = _server("EMO_BACKUP_SCRATCH_URL", _url) if _url else None
EMO_PG_BIN = env.text("EMO_PG_BIN")
# Tables that only grow, whose every row a backup must prove; each with the function (dotted path) that gives the head
# of its chain, or "" where the rows are not chained.
EMO_AUDIT_TRAILS = {"orders.OrderEvent": ""}

# ---- alerts and e-mail ----------------------------------------------------------------------------------------------

_mail = env.mail_server("EMO_EMAIL_URL")
EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.starttls, _mail.tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("EMO_EMAIL_FROM", "emo-desk@localhost")
# Who is alerted by a new desk, and by a worker that could not yet read its rules.
EMO_ALERT_EMAILS = env.addresses("EMO_ALERT_EMAILS")

_SERVERS = [alias for alias, database in DATABASES.items() if database["ENGINE"] == database_urls.ENGINE_POSTGRESQL]
# Passwords and keys came from these; the probe of files looks who else can read them. (It wants every secret read.)
EMO_SECRET_FILES = [str(BASE_DIR / f".env.{EMO_ENV}"), *env.secret_files]

# Seconds between two rounds of `manage.py monitor`, on all hosts alike.
EMO_MONITOR_SECONDS = env.integer("EMO_MONITOR_SECONDS", 30, minimum=1, maximum=3600)
# ---- background work ------------------------------------------------------------------------------------------------

# In the default database, so that nothing else has to run. "operator": what needs more rights than the desk's own role.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default", "operator"]}}

# (probe, its thresholds); a probe's name comes from its fields and must be unique.
PROBES: list[tuple[str, dict[str, Any]]] = [
    *(("monitoring.probes.DatabaseProbe", {"alias": alias}) for alias in DATABASES),
    *(("monitoring.probes.MigrationsProbe", {"alias": alias}) for alias in DATABASES),
    *(("monitoring.probes.HypertablesProbe", {"alias": alias}) for alias in DATABASES if not is_replica(alias)),
    *(("monitoring.server_probes.PoolProbe", {"alias": alias}) for alias in _SERVERS),
    *(("monitoring.server_probes.ClockProbe", {"alias": alias}) for alias in _SERVERS),
    *(
        ("monitoring.server_probes.HostsProbe", {"alias": alias})
        for alias in _SERVERS
        if len(database_urls.hosts_of(DATABASES[alias])) > 1
    ),
    *(("monitoring.server_probes.ReplicationProbe", {"alias": alias}) for alias in _SERVERS if is_replica(alias)),
    *(("monitoring.security_probes.AccessProbe", {"alias": alias}) for alias in _SERVERS),
    *(("monitoring.expiry_probes.ExpiryProbe", {"alias": alias}) for alias in _SERVERS),
    *(("monitoring.lock_probes.TransactionsProbe", {"alias": alias}) for alias in _SERVERS),
    *(
        (probe, {"alias": alias})
        for alias in _SERVERS
        if not is_replica(alias)
        for probe in (
            "monitoring.lock_probes.LocksProbe",
            "monitoring.upkeep_probes.VacuumProbe",
            "monitoring.upkeep_probes.StorageProbe",
            "monitoring.time_series_probes.ChunksProbe",
        )
    ),
    *(("monitoring.sqlite_probes.SqliteProbe", {"alias": alias}) for alias in DATABASES if alias not in _SERVERS),
    ("monitoring.security_probes.FilesProbe", {}),
    ("monitoring.backup_probes.BackupsProbe", {}),
    ("monitoring.probes.DiskProbe", {"path": str(EMO_DATA_DIR)}),
    ("monitoring.machine_probes.MemoryProbe", {}),
    ("monitoring.machine_probes.LoadProbe", {}),
    ("monitoring.machine_probes.CacheProbe", {}),
    ("monitoring.probes.MarketDataProbe", {}),
    ("monitoring.market_probes.SymbolsProbe", {}),
    ("monitoring.time_series_probes.RetentionProbe", {}),
    ("monitoring.component_probes.ComponentsProbe", {}),
    ("monitoring.log_probes.LogErrorsProbe", {}),
    ("monitoring.log_probes.WebErrorsProbe", {}),
    ("orders.probes.ReviewBacklogProbe", {}),
    ("monitoring.watch_probes.WatchProbe", {}),
    ("monitoring.worker_probes.WorkerProbe", {}),
    ("orders.probes.OverdueOrdersProbe", {}),
    ("orders.probes.UnmatchedFillsProbe", {}),
    ("orders.probes.FillLatencyProbe", {}),
    ("orders.probes.TradingStateProbe", {}),
    ("orders.audit_probes.AuditTrailProbe", {}),
]

# ---- HTTP API -------------------------------------------------------------------------------------------------------

# What each app adds to it (a Routes each).
API_ROUTERS = [
    "orders.api.routes",
    "orders.feed_api.routes",
    "orders.control_api.routes",
    "monitoring.api.routes",
    "reporting.api.routes",
]
# Of each token, in each worker process.
EMO_API_REQUESTS_PER_MINUTE = env.integer("EMO_API_REQUESTS_PER_MINUTE", 6000, minimum=1, maximum=1_000_000)

# ---- metrics and logs -----------------------------------------------------------------------------------------------

# Who may read /metrics: who sends one of the tokens, or asks from one of the networks. With neither nobody may.
EMO_METRICS_TOKENS = env.sealing_keys("EMO_METRICS_TOKEN")
EMO_METRICS_NETWORKS = env.networks("EMO_METRICS_NETWORKS", ("127.0.0.0/8", "::1") if _IS_DEV else ())
# What /metrics tells besides what the workers count: (function, the app whose database it asks).
METRICS = [
    ("monitoring.metrics.components", "monitoring"),
    ("monitoring.metrics.ingest", "monitoring"),
    ("orders.metrics.orders", "orders"),
    ("emo_site.jobs.metrics.tasks", "jobs"),
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": f"emo_site.logs.formats.{'PlainLines' if _IS_DEV else 'JsonLines'}"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "count": {"class": "emo_site.logs.counting.CountErrors"},
    },
    "root": {"handlers": ["console", "count"], "level": "WARNING"},
    "loggers": {
        # Django gives these two handlers of their own, which mask nothing.
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True, "level": "INFO"},
        # gunicorn too; the level of the first is its --log-level.
        "gunicorn.error": {"handlers": [], "propagate": True},
        "gunicorn.access": {"handlers": [], "propagate": True, "level": "WARNING" if _IS_DEV else "INFO"},
        "django.db.backends": {"level": "DEBUG" if EMO_DB_DEBUG else "WARNING"},
        # In an outage it says the same several times a second; emo_site.db.connections says each change once.
        "psycopg.pool": {"level": "ERROR"},
        # Anchors, and accesses that could not be written into the database.
        "emo.audit": {"level": "INFO"},
        # Who logged in and who could not, and who set up, removed or reset a second factor.
        "emo.login": {"level": "INFO"},
        # Which worker began and ended, and what it gave on.
        "emo.jobs": {"level": "INFO"},
    },
}
