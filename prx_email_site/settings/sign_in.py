"""Settings of sign-in: sessions, limits on guessing, passwords, single sign-on, second factor. See docs/sign-in.md."""

from datetime import timedelta

from prx_email_site import environment as env

# --- Sessions -------------------------------------------------------------------------------------------------
SESSION_ENGINE = "people.sessions.store"
SESSION_COOKIE_AGE = 60 * env.integer("PRX_EMAIL_SESSION_IDLE_MINUTES", 720, minimum=1)  # since a person's last request
SESSION_LONGEST_SECONDS = 3600 * env.integer("PRX_EMAIL_SESSION_LONGEST_HOURS", 168, minimum=1)
# How long after a sign-in or a re-authentication a person may open pages of secrets, roles and keys.
STEP_UP_MINUTES = env.integer("PRX_EMAIL_STEP_UP_MINUTES", 15, minimum=1)
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"

# --- Guessing -------------------------------------------------------------------------------------------------
TRUSTED_PROXIES = env.networks("PRX_EMAIL_TRUSTED_PROXIES")
SIGN_IN_LOCK_MINUTES = env.integer("PRX_EMAIL_SIGN_IN_LOCK_MINUTES", 15, minimum=1)
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first, so that no password is hashed for a locked-out user
    "people.sign_in.local_passwords.LocalPasswords",
]
# Failures are counted in the database, for all web processes, separately by user name and by IP address.
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_FAILURE_LIMIT = env.integer("PRX_EMAIL_SIGN_IN_FAILURES", 10, minimum=1)
AXES_COOLOFF_TIME = timedelta(minutes=SIGN_IN_LOCK_MINUTES)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else a stranger could keep a name locked for ever
AXES_CLIENT_IP_CALLABLE = "people.sign_in.client_address.counted_address"
AXES_LOCKOUT_CALLABLE = "people.sign_in.pages.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # sign-ins are in the activity
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# --- Passwords ------------------------------------------------------------------------------------------------
# With single sign-on, this site's passwords may be switched off, except for one user (break glass).
LOCAL_PASSWORDS = env.boolean("PRX_EMAIL_LOCAL_PASSWORDS", True)
BREAK_GLASS_USER = env.text("PRX_EMAIL_BREAK_GLASS_USER")
PASSWORD_RESET_TIMEOUT = 7 * 86_400  # the longest of all links; each kind has its own time-out (people.links.tokens)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]

# --- Single sign-on (OpenID Connect) --------------------------------------------------------------------------
SSO_ISSUER = env.text("PRX_EMAIL_SSO_ISSUER").rstrip("/")
SSO_CLIENT_ID = env.text("PRX_EMAIL_SSO_CLIENT_ID")
SSO_CLIENT_SECRET = env.text("PRX_EMAIL_SSO_CLIENT_SECRET")
SSO_CLIENT_SECRET_ENDS_ON = env.day("PRX_EMAIL_SSO_CLIENT_SECRET_ENDS_ON")
SSO_LABEL = env.text("PRX_EMAIL_SSO_LABEL")  # the button's label; "": the default
SSO_SCOPES = env.text("PRX_EMAIL_SSO_SCOPES", "openid profile email").split()
SSO_GROUPS_CLAIM = env.text("PRX_EMAIL_SSO_GROUPS_CLAIM", "groups")
SSO_ROLES = env.pairs("PRX_EMAIL_SSO_ROLES")  # the provider's group -> role for all accounts
SOCIALACCOUNT_ADAPTER = "people.single_sign_on.decisions.SocialAdapter"
SOCIALACCOUNT_STORE_TOKENS = False  # the provider is asked at each sign-in only, so its tokens are not needed later
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10  # seconds

# --- Second factor (django-allauth) ---------------------------------------------------------------------------
ACCOUNT_ADAPTER = "people.sign_in.allauth_adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # people are invited, or come from the provider
ACCOUNT_RATE_LIMITS = False  # django-axes counts in the database; allauth would count in each process's own cache
ACCOUNT_FORMS = {"reauthenticate": "people.second_factor.forms.PasswordAgain"}
MFA_ADAPTER = "people.second_factor.adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "activate_totp": "people.second_factor.forms.NewApp",
    "add_webauthn": "people.second_factor.forms.NewPasskey",
    "authenticate": "people.second_factor.forms.Code",
    "authenticate_webauthn": "people.second_factor.forms.Passkey",
    "reauthenticate": "people.second_factor.forms.CodeAgain",
    "reauthenticate_webauthn": "people.second_factor.forms.PasskeyAgain",
}
MFA_TOTP_ISSUER = "PRX-Email"
MFA_TOTP_TOLERANCE = 1  # periods of 30 s by which a clock may differ
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # allauth's own table of addresses is not used
# A passkey belongs to an https address, or to localhost (W3C WebAuthn, 5.1.2).
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = env.text("PRX_EMAIL_BASE_URL", "http://127.0.0.1:8000").startswith("http://")
