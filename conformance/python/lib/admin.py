"""The operator's API."""

from . import connections
from .rest import request


def admin(method, path, body=None, status=None):
    """Answers the body; a status that is not `status` (below 300, when nothing is said) fails."""
    where = connections()["admin"]
    answer = request(
        method, f"{where['url']}{path}", params={}, token=f"Bearer {where['key']}", body=body
    )
    good = answer.status_code < 300 if status is None else answer.status_code == status
    assert good, f"{method} {path}: {answer.status_code} {answer.text[:400]}"
    return answer.json() if answer.content else None
