"""Dovecot's configuration, in the language of 2.3 (Debian 12, Ubuntu 24.04) and of 2.4 (Debian 13)."""

from __future__ import annotations

import getpass
import grp
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Users:
    """Who owns the mail and runs Dovecot's own processes. An ordinary user is all of them, without chroot."""

    mail: str
    mail_group: str
    internal: str
    login: str

    @classmethod
    def here(cls) -> Users:
        if os.geteuid() == 0:
            return cls("mail", "mail", "dovecot", "dovenull")  # `mail` is there on every Debian
        me = getpass.getuser()
        return cls(me, grp.getgrgid(os.getgid()).gr_name, me, me)

    @property
    def is_root(self) -> bool:
        return self.internal == "dovecot"


@dataclass(frozen=True)
class Ports:
    imap: int
    submission: int
    submissions: int
    relay: int


COMMON = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log/dovecot.log
auth_verbose = yes
# Or each refused sign-in makes the next one slower, up to 15 s.
auth_failure_delay = 0
listen = 127.0.0.1
ssl = required
mail_uid = {users.mail}
mail_gid = {users.mail_group}
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = {users.internal}
default_internal_group = {internal_group}
default_login_user = {users.login}
mail_max_userip_connections = 200
hostname = localhost
submission_relay_host = 127.0.0.1
submission_relay_port = {ports.relay}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {ports.imap}
    ssl = yes
  }}
{chroot}}}
service submission-login {{
  inet_listener submission {{
    port = {ports.submission}
  }}
  inet_listener submissions {{
    port = {ports.submissions}
    ssl = yes
  }}
{chroot}}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
{chroot}}}
"""

# mdbox keeps a mailbox in few files; a test's mailboxes need not survive a power cut.
VERSION_2_3 = """
protocols = imap submission
mail_fsync = never
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_location = mdbox:{folder}/mail/%u
auth_mechanisms = plain login xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf.ext
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = password={password}
}}
userdb {{
  driver = static
  args = allow_all_users=yes uid={users.mail} gid={users.mail_group} home={folder}/mail/%u
}}
"""

OAUTH2_2_3 = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = email
"""

VERSION_2_4 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap submission
mail_fsync = never
ssl_server_cert_file = {folder}/cert.pem
ssl_server_key_file = {folder}/key.pem
mail_driver = mdbox
mail_path = {folder}/mail/%{{user}}
mail_home = {folder}/mail/%{{user}}
auth_mechanisms = plain login xoauth2 oauthbearer
oauth2 {{
  introspection_mode = local
  username_attribute = email
}}
oauth2_local_validation {{
  dict fs {{
    fs posix {{
      prefix = {folder}/keys/
    }}
  }}
}}
passdb oauth2 {{
  mechanisms_filter = xoauth2 oauthbearer
}}
passdb static {{
  mechanisms_filter = plain login
  passdb_static_password = {password}
}}
userdb static {{
  userdb_static_allow_all_users = yes
  fields {{
    uid = {users.mail}
    gid = {users.mail_group}
    home = {folder}/mail/%{{user}}
  }}
}}
"""


def write_config(folder: Path, version: str, ports: Ports, users: Users, password: str) -> Path:
    """Write the files for this version ("2.3.19.1", "2.4.1-4") and return the main one's path."""
    words = {
        "folder": folder,
        "ports": ports,
        "users": users,
        "password": password,
        "internal_group": "dovecot" if users.is_root else users.mail_group,
        # Only root may chroot; Dovecot's login processes and anvil do by default.
        "chroot": "" if users.is_root else "  chroot =\n",
    }
    is_new = tuple(int(part) for part in version.split(".")[:2]) >= (2, 4)
    path = folder / "dovecot.conf"
    # 2.4 demands its version as the first setting of the file.
    path.write_text(((VERSION_2_4 + COMMON) if is_new else (COMMON + VERSION_2_3)).format_map(words).lstrip())
    (folder / "oauth2.conf.ext").write_text(OAUTH2_2_3.format_map(words))
    return path
