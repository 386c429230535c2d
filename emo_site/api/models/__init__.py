"""Who may ask by token, what they asked, and what they were answered. In the default database."""

from emo_site.api.models.call import ApiCall
from emo_site.api.models.stored_answer import StoredAnswer
from emo_site.api.models.token import ApiToken
from emo_site.api.models.used_nonce import UsedNonce

__all__ = ["ApiCall", "ApiToken", "StoredAnswer", "UsedNonce"]
