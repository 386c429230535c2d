from emo_site.login.models.account import Account
from emo_site.login.models.backup_code import BackupCode
from emo_site.login.models.failed_logins import FailedLogins
from emo_site.login.models.person import Person

__all__ = ["Account", "BackupCode", "FailedLogins", "Person"]
