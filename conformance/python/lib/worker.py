"""Threads of the scenarios that kill the server while something is done to it."""

import threading

from .mqtt import Closed, Refused


class Worker(threading.Thread):
    """Does the same again and again until the server is gone."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.error = work, None
        self.start()

    def run(self):
        try:
            while True:
                self.work()
        except Exception as error:  # looked at by whoever joins
            self.error = error

    def ended(self, what):
        """The server was killed: this has ended, and by nothing else."""
        self.join(30)
        assert not self.is_alive(), f"{what}: a worker hangs although the server is gone"
        explained = isinstance(self.error, (OSError, Closed, Refused)) or "Connection" in type(self.error).__name__
        assert explained, f"{what}: {self.error!r}"
