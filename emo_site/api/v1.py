"""The API, put together from the routers that the settings name."""

from emo_site.api.desk_api import DeskAPI

api = DeskAPI()
