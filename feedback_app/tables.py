"""Every table, by importing the modules that define them."""

from feedback_app.api.models import ApiKey
from feedback_app.audit import AuditLine
from feedback_app.comments import models as comments
from feedback_app.customers import models as customers
from feedback_app.letter_requests import LetterRequest
from feedback_app.mailing import models as mailing
from feedback_app.owner import models as owner
from feedback_app.store import StoreFact
from feedback_app.workers import Worker

__all__ = ["ApiKey", "AuditLine", "LetterRequest", "StoreFact", "Worker", "comments", "customers", "mailing", "owner"]
