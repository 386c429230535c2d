"""Background work in the admin: what was queued and became of it, when what is due, and who works."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from emo_site import display
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.clocks import now_of
from emo_site.jobs import catalogue, cron, queue, schedules
from emo_site.jobs.models import Job, Schedule, WorkerHeartbeat
from emo_site.record_admin import RecordAdmin, period_filter

RUNS = "jobs.run_job"
_TONES = {
    TaskResultStatus.READY: "muted",
    TaskResultStatus.RUNNING: "accent",
    TaskResultStatus.SUCCESSFUL: "good",
    TaskResultStatus.FAILED: "bad",
}
# The task library's own page has neither the duration nor a way to run a task again.
admin.site.unregister(DBTaskResult)


def _badge(word: str, tone: str) -> SafeString:
    return format_html('<span class="badge tone-{}">{}</span>', tone, word)


def _state(job: DBTaskResult[..., Any]) -> SafeString:
    status = TaskResultStatus(job.status)
    return _badge(str(status.label).lower(), _TONES[status])


def _duration(elapsed: timedelta) -> str:
    seconds = elapsed.total_seconds()
    # In one piece: the list breaks lines at spaces.
    return f"{seconds:.2f}\N{NO-BREAK SPACE}s" if seconds < 60 else display.age(elapsed)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(status), str(status.label).lower()) for status in TaskResultStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() in TaskResultStatus.values else queryset


class TaskFilter(admin.SimpleListFilter):
    title = "task"
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(path, task.name) for path, task in catalogue.tasks().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(task_path=self.value()) if self.value() in catalogue.tasks() else queryset


class MayRun(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RUNS)


@admin.register(Job)
class JobAdmin(MayRun, RecordAdmin):
    list_display = ("name", "arguments_begin", "state", "queued", "started", "finished", "took", "attempts")
    list_filter = (StateFilter, TaskFilter, period_filter("enqueued_at"))
    ordering = ("-enqueued_at", "-id")
    actions = ("run_again",)  # type: ignore[assignment]  # a record that has something to do about it
    fields = (
        *("name", "state", "queue_name", "arguments", "queued", "started", "finished", "took", "attempts", "workers"),
        *("result", "error", "trace"),
    )
    readonly_fields = fields

    @admin.action(description="Run again", permissions=("run",))
    def run_again(self, request: HttpRequest, chosen: QuerySet[Job]) -> None:
        """The old job stays as it is, and says who had it run again."""
        for job in chosen.order_by("enqueued_at", "id"):
            try:
                new = queue.again(job)
            except queue.NotRunAgain as error:
                self.message_user(request, f"Not run again: {error}.", messages.ERROR)
                continue
            self.log_change(request, job, f"Run again as {new.pk}.")
            link = reverse("admin:jobs_job_change", args=[new.pk])
            self.message_user(
                request, format_html('{} is queued again: <a href="{}">{}</a>.', job.task_name, link, new.pk)
            )

    @admin.display(description="task")
    def name(self, job: Job) -> str:
        return str(job.task_name)

    @admin.display(description="state")
    def state(self, job: Job) -> SafeString:
        return _state(job)

    @admin.display(description="queued")
    def queued(self, job: Job) -> str:
        return display.moment(job.enqueued_at)

    @admin.display(description="started")
    def started(self, job: Job) -> str:
        return display.moment(job.started_at) if job.started_at else ""

    @admin.display(description="finished")
    def finished(self, job: Job) -> str:
        return display.moment(job.finished_at) if job.finished_at else ""

    @admin.display(description="took")
    def took(self, job: Job) -> str:
        return _duration(job.finished_at - job.started_at) if job.started_at and job.finished_at else ""

    @admin.display(description="attempts")
    def attempts(self, job: Job) -> int:
        return len(job.worker_ids)

    @admin.display(description="workers, in turn")
    def workers(self, job: Job) -> str:
        return ", ".join(job.worker_ids)

    @admin.display(description="arguments")
    def arguments(self, job: Job) -> str:
        given = [*map(repr, job.args_kwargs["args"])]
        return ", ".join(given + [f"{name}={value!r}" for name, value in job.args_kwargs["kwargs"].items()])

    @admin.display(description="arguments")
    def arguments_begin(self, job: Job) -> str:
        return Truncator(self.arguments(job)).chars(50)

    @admin.display(description="result")
    def result(self, job: Job) -> str:
        return "" if job.return_value is None else str(job.return_value)

    @admin.display(description="error")
    def error(self, job: Job) -> str:
        return str(job.exception_class_path)

    @admin.display(description="trace")
    def trace(self, job: Job) -> SafeString | str:
        return format_html("<pre>{}</pre>", job.traceback) if job.traceback else ""


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    task = forms.ChoiceField()

    class Meta:
        model = Schedule
        fields = ("name", "task", "arguments", "cron", "enabled")
        help_texts = {
            "cron": "Minute, hour, day, month, weekday, in UTC: 30 2 * * 1-5 is half past two, Monday to Friday.",
            "arguments": 'What the task is called with, as in {"report": "orders"}.',
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "task" in self.fields:
            self.fields["task"].choices = [(path, path) for path in catalogue.tasks()]  # type: ignore[attr-defined]

    def clean_cron(self) -> str:
        expression = str(self.cleaned_data["cron"]).strip()
        try:
            cron.next_after(expression, now_of(connections[PRIMARY_ALIAS]))
        except cron.BadCron as error:
            raise forms.ValidationError(str(error)) from error
        return expression

    def clean_arguments(self) -> dict[str, Any]:
        arguments = self.cleaned_data["arguments"] or {}
        if not isinstance(arguments, dict):
            raise forms.ValidationError(f"arguments={arguments!r}: an object of names and values is needed")
        return arguments

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "task" in cleaned and "arguments" in cleaned:
            try:
                catalogue.require_arguments(catalogue.task(cleaned["task"]), cleaned["arguments"])
            except catalogue.BadArguments as error:
                self.add_error("arguments", str(error))
        return cleaned


@admin.register(Schedule)
class ScheduleAdmin(MayRun):
    form = ScheduleForm
    list_display = ("name", "task", "cron", "enabled", "next_run", "last_run", "last_state", "problem")
    list_select_related = ("last_job",)
    sortable_by = ()
    actions = ("run_now",)
    fields = ("name", "task", "arguments", "cron", "enabled", "next_run", "last_run", "last_state", "problem")
    readonly_fields = ("next_run", "last_run", "last_state", "problem")

    def save_model(self, request: HttpRequest, schedule: Schedule, form: Any, change: bool) -> None:
        schedules.keep(schedule, now=now_of(connections[PRIMARY_ALIAS]))

    @admin.action(description="Run now", permissions=("run",))
    def run_now(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        for schedule in chosen:
            try:
                schedules.run_now(schedule, now=now_of(connections[PRIMARY_ALIAS]))
            except (schedules.NotQueued, catalogue.NoSuchTask, catalogue.BadArguments) as error:
                self.message_user(request, f"Not queued: {error}.", messages.ERROR)
                continue
            self.log_change(request, schedule, "Run out of turn.")
            self.message_user(request, f"{schedule.name} is queued.")

    @admin.display(description="due")
    def next_run(self, schedule: Schedule) -> str:
        return display.moment(schedule.next_at) if schedule.next_at else "never"

    @admin.display(description="last queued")
    def last_run(self, schedule: Schedule) -> str:
        return display.moment(schedule.last_enqueued_at) if schedule.last_enqueued_at else "never"

    @admin.display(description="last result")
    def last_state(self, schedule: Schedule) -> SafeString | str:
        job = schedule.last_job
        if job is None:
            return ""
        url = reverse("admin:jobs_job_change", args=[job.pk])
        return format_html('<a href="{}">{}</a>', url, _state(job))


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(RecordAdmin):
    list_display = ("name", "state", "serves", "started", "beat", "doing", "succeeded", "failed")
    list_filter = (period_filter("started_at"),)
    ordering = ("-started_at", "-id")

    @admin.display(description="state")
    def state(self, worker: WorkerHeartbeat) -> SafeString:
        if worker.lost:
            return _badge("lost", "bad")
        return _badge("ended", "muted") if worker.ended_at else _badge("alive, or not yet missed", "good")

    @admin.display(description="queues")
    def serves(self, worker: WorkerHeartbeat) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="started")
    def started(self, worker: WorkerHeartbeat) -> str:
        return display.moment(worker.started_at)

    @admin.display(description="last beat")
    def beat(self, worker: WorkerHeartbeat) -> str:
        return display.moment(worker.beat_at)
