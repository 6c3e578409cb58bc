"""Every table, by importing the modules that define them."""

from feedback_app.api.models import ApiKey
from feedback_app.audit_log import AuditLine
from feedback_app.comments import models as comments
from feedback_app.customers import models as customers
from feedback_app.db.setup import StoreFact
from feedback_app.desk import models as owner
from feedback_app.heartbeats import Worker
from feedback_app.letter_queue import LetterRequest
from feedback_app.mailing import models as mailing

__all__ = ["ApiKey", "AuditLine", "LetterRequest", "StoreFact", "Worker", "comments", "customers", "mailing", "owner"]
