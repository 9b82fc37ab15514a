"""Writes what became of each task as a line of JSON to the file that TOLD names: name, item, status."""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: told
type: notification
short_description: what became of each task
description: One line of JSON for each task or item.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "told"

    def _tell(self, result, status, item=None):
        line = {"name": result._task.get_name(), "item": item, "status": status}
        with open(os.environ["TOLD"], "a", encoding="utf-8") as told:
            told.write(json.dumps(line) + "\n")

    def _ended(self, result, status):
        # Of a loop every item was told by itself.
        if "results" not in result._result or not result._task.loop:
            self._tell(result, status)

    @staticmethod
    def _done(result):
        return "changed" if result._result.get("changed") else "ok"

    def v2_runner_on_ok(self, result, **kwargs):
        self._ended(result, self._done(result))

    def v2_runner_on_failed(self, result, ignore_errors=False, **kwargs):
        self._ended(result, "failed")

    def v2_runner_on_skipped(self, result, **kwargs):
        self._ended(result, "skipped")

    def v2_runner_item_on_ok(self, result, **kwargs):
        self._tell(result, self._done(result), str(result._result.get("item")))

    def v2_runner_item_on_failed(self, result, **kwargs):
        self._tell(result, "failed", str(result._result.get("item")))

    def v2_runner_item_on_skipped(self, result, **kwargs):
        self._tell(result, "skipped", str(result._result.get("item")))
