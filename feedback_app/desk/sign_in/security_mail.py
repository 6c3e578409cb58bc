"""What Flask-Security would mail goes into the queue of letters, to the owner, like everything else."""

import json
from typing import Any

from flask_security.mail_util import MailUtil

from feedback_app import clock
from feedback_app.letter_queue import LetterKind, queue_letter
from feedback_app.web.app_state import app_state


class Notices(MailUtil):
    """Wants a letter for what Flask-Security would mail; nothing leaves by another way."""

    def send_mail(  # noqa: PLR0917 - the base's signature
        self,
        template: str,
        subject: str,
        recipient: Any,  # noqa: ANN401, ARG002 - the base's signature; nobody is known by an address
        sender: Any,  # noqa: ANN401, ARG002 - the base's signature
        body: str | None,  # noqa: ARG002 - the letter has its own words
        html: str | None,  # noqa: ARG002 - the letter has its own words
        **context: Any,  # noqa: ANN401 - the base's signature
    ) -> None:
        """Note that the owner has to know; what the letter says is the mailer's business."""
        user = context.get("user")
        details = {
            "what": template.rpartition("/")[2],
            "subject": str(subject),
            "who": user.username if user else "somebody",
        }
        with app_state().store.writing() as session:
            queue_letter(session, LetterKind.SIGN_IN_NOTICE, None, details=json.dumps(details), now=clock.now())
