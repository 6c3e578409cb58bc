"""Flask-Security's mails, sent through the letter queue like every other letter."""

import json
from typing import Any

from flask_security.mail_util import MailUtil

from feedback_app import clock
from feedback_app.letter_queue import LetterKind, queue_letter
from feedback_app.web.app_state import app_state


class QueuedMail(MailUtil):
    """Queues a letter to the owner in place of each mail of Flask-Security's."""

    def send_mail(  # noqa: PLR0917 - the base's signature
        self,
        template: str,
        subject: str,
        recipient: Any,  # noqa: ANN401, ARG002 - the base's signature; owners have no address here
        sender: Any,  # noqa: ANN401, ARG002 - the base's signature
        body: str | None,  # noqa: ARG002 - the letter has its own words
        html: str | None,  # noqa: ARG002 - the letter has its own words
        **context: Any,  # noqa: ANN401 - the base's signature
    ) -> None:
        """Queue a sign-in notice; the mailer writes it."""
        user = context.get("user")
        details = {
            "what": template.rpartition("/")[2],
            "subject": str(subject),
            "who": user.username if user else "somebody",
        }
        with app_state().store.writing() as session:
            queue_letter(session, LetterKind.SIGN_IN_NOTICE, None, details=json.dumps(details), now=clock.now())
