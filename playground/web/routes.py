"""Every address of the server, in one table: the application and openapi.json are made from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from playground.web.api import (
    answer_links,
    audit,
    chaos,
    check,
    exports,
    forks,
    inbox,
    instances,
    openapi,
    operations,
    run_files,
    schedules,
    snippets,
    step_output,
    streams,
    tenant_bulks,
    tenant_fetch,
    tenant_instances,
    tenant_queues,
    tenant_services,
    tenant_workflows,
    tenants,
)
from playground.web.calls import Call, View
from playground.web.http import health, metrics
from playground.web.mcp import endpoint as mcp
from playground.web.pages import answer, compare, files, link_previews, markdown, pages, sign_in
from playground.web.pages import tenants as tenant_pages
from playground.workflows.filters import FIELDS

INSTANCE = "/api/instances/{id}"
TENANT = "/api/tenants/{tenant}"
TENANT_INSTANCE = TENANT + "/instances/{id}"


def _get(path: str, view: View, **rest: Any) -> Call:
    return Call("GET", path, view, **rest)


def _page(path: str, view: View, **rest: Any) -> Call:
    return Call("GET", path, view, page=True, **rest)


def _post(path: str, view: View, **rest: Any) -> Call:
    return Call("POST", path, view, **rest)


def _operation(name: str, view: View, body: type[msgspec.Struct] | None, *refuses: str, **rest: Any) -> Call:
    codes = ("instance.not_found", *refuses)
    return Call("POST", f"{INSTANCE}/{name}", view, 202, body, control_token=True, error_codes=codes, **rest)


_CODE = ("too_large", "too_many")
_EXPORT = ("source.refused", "busy", *_CODE)

_OPERATOR = ("operator.token_missing", "operator.token_wrong")
_SIGN_IN = ("not_found", "start.token_wrong")
_NEW_KEY = ("workflow.invalid_name", "too_many", *_OPERATOR)

# What can be asked of any instance; see also OF_TENANTS.
OF_INSTANCES: tuple[Call, ...] = (
    _get(INSTANCE, instances.get, query=("at",), error_codes=("instance.not_found", "query.invalid")),
    _get(f"{INSTANCE}/events", instances.events, query=("after", "limit"),
         error_codes=("instance.not_found", "query.invalid")),
    _get(f"{INSTANCE}/stream", instances.stream, query=("after", "filter"),
         error_codes=("instance.not_found", "query.invalid", "too_many")),
    _get(f"{INSTANCE}/export", run_files.export, error_codes=("instance.not_found", "too_many")),
    _get(f"{INSTANCE}/test.py", run_files.test,
         error_codes=("instance.not_found", "instance.cannot_be_a_test", "too_large", "too_many")),
    _get(f"{INSTANCE}/streams", streams.listed, error_codes=("instance.not_found",)),
    _get(f"{INSTANCE}/streams/{{name}}", streams.values, query=("after",),
         error_codes=("instance.not_found", "workflow.invalid_name", "query.invalid", "too_many")),
    _operation("events/{type}", operations.send_event, None, "workflow.invalid_event_type", "instance.in_finite_state",
        "too_large", "too_many", "query.invalid", "event.rejected", "event.not_answered", "event.payload_mismatch",
        query=("reply",)),
    _operation("pause", operations.pause, operations.NoBody),
    _operation("resume", operations.resume, operations.NoBody),
    _operation("terminate", operations.terminate, operations.TerminateBody, "instance.cannot_terminate"),
    _operation("restart", operations.restart, operations.RestartBody, "instance.cannot_restart",
        "instance.cannot_break"),
    _operation("break", operations.break_step, operations.BreakBody, "instance.cannot_break",
        "instance.in_finite_state", "not_serialisable"),
    _operation("breakpoints", operations.set_breakpoint, operations.BreakpointBody, "instance.cannot_break",
        "instance.in_finite_state"),
    _operation("continue", operations.go_on, operations.ContinueBody, "instance.cannot_continue",
        "instance.cannot_break", "instance.in_finite_state", "not_serialisable", "too_large"),
    _operation("kill-worker", operations.kill_worker, operations.KillBody, "instance.no_worker"),
    _operation("wake", operations.wake, operations.WakeBody, "instance.nothing_to_wake"),
    _operation("skip-sleeps", operations.skip_sleeps, operations.SkipSleepsBody, "instance.in_finite_state"),
    _operation("code", forks.change_code, forks.CodeBody, "version.does_not_fit", "instance.in_finite_state",
               "instance.cannot_migrate", "source.refused", "busy", *_CODE),
    Call("POST", f"{INSTANCE}/fork", forks.fork, 201, forks.ForkBody, error_codes=("instance.not_found",
         "instance.cannot_fork", "not_serialisable", "source.refused", "token.missing", "token.wrong", "busy", *_CODE)),
    Call("POST", f"{INSTANCE}/waits/{{name:path}}/{{count}}/answer", inbox.answer, 202, control_token=True,
         query=("type", "seq"), error_codes=("instance.not_found", "wait.over", "event.payload_mismatch",
                                             "not_serialisable", "query.invalid", "too_large")),
    Call("POST", f"{INSTANCE}/waits/{{name:path}}/{{count}}/links", answer_links.make, 201, answer_links.LinkBody,
         control_token=True, error_codes=("instance.not_found", "wait.not_found")),
    Call("DELETE", INSTANCE, operations.delete, 204, control_token=True, error_codes=("instance.not_found",)),
    _get(f"{INSTANCE}/steps/{{kind}}/{{name:path}}/{{count}}", step_output.get,
         error_codes=("instance.not_found", "step.not_found", "step.no_output")),
    _get(f"{INSTANCE}/effects", instances.effects, error_codes=("instance.not_found",)),
    _get(f"{INSTANCE}/children", instances.children, query=("limit",),
         error_codes=("instance.not_found", "query.invalid")),
)  # fmt: skip


def _of_tenant(call: Call) -> Call:
    """The same call for a tenant's instance, with a key in place of the control token."""
    return replace(
        call,
        path=call.path.replace(INSTANCE, TENANT_INSTANCE),
        tenant_key=True,
        control_token=False,
        error_codes=(*call.error_codes, "instance.expired"),
    )


def _key(method: str, path: str, view: View, *refuses: str, **rest: Any) -> Call:
    return Call(method, TENANT + path, view, tenant_key=True, error_codes=refuses, **rest)


_NEW = ("tenant.not_found", "workflow.not_found", "version.not_found", "instance.invalid_id",
        "workflow.invalid_retention", "workflow.invalid_tag", "flow.invalid", "busy")  # fmt: skip
_DEPLOY = ("source.refused", "workflow.invalid_name", "workflow.invalid_limit", "workflow.invalid_retention",
           "flow.invalid", "workflow.too_many", "version.too_many", *_CODE)  # fmt: skip

# What a tenant asks for with one of its keys, and its trigger; its keys are the operator's.
OF_TENANTS: tuple[Call, ...] = (
    _post(TENANT + "/keys", tenants.make_key, status=201, body=tenants.KeyBody, error_codes=_NEW_KEY),
    Call("DELETE", TENANT, tenants.delete_tenant, query=("end",),
         error_codes=("tenant.not_found", "tenant.unfinished", "query.invalid", *_NEW_KEY)),
    _key("PUT", "/workflow", tenant_workflows.deploy_main, *_DEPLOY, status=201, body=tenant_workflows.DeployBody),
    _key("GET", "/workflow", tenant_workflows.main_versions, "query.invalid", query=("before", "limit")),
    _key("GET", "/workflow/{version}", tenant_workflows.any_version, "version.not_found"),
    _key("DELETE", "/workflow/{version}", tenant_workflows.delete_any_version, "version.not_found", "version.needed",
         status=204),
    _key("GET", "/workflows", tenant_workflows.workflows),
    _key("PUT", "/workflows/{name}", tenant_workflows.deploy, *_DEPLOY, status=201, body=tenant_workflows.DeployBody),
    _key("GET", "/workflows/{name}", tenant_workflows.versions, "query.invalid", "tenant.not_found",
         "workflow.not_found", query=("before", "limit")),
    _key("GET", "/workflows/{name}/{version}", tenant_workflows.version, "version.not_found"),
    _key("DELETE", "/workflows/{name}/{version}", tenant_workflows.delete_version, "version.not_found",
         "version.needed", status=204),
    _key("PUT", "/queues/{name}", tenant_queues.put, "queue.invalid", "workflow.invalid_name", status=201,
         body=tenant_queues.QueueBody),
    _key("GET", "/queues", tenant_queues.queues),
    _key("DELETE", "/queues/{name}", tenant_queues.delete, "queue.not_found", status=204),
    _key("POST", "/queues/{name}/messages", tenant_queues.send, "queue.invalid", "queue.not_found", "queue.full",
         "not_serialisable", status=202, body=tenant_queues.SendBody),
    _key("GET", "/queues/{name}/dead", tenant_queues.dead, "queue.not_found"),
    _key("POST", "/queues/{name}/dead/{id}/retry", tenant_queues.retry_dead, "queue.not_found", status=202),
    _key("DELETE", "/queues/{name}/dead/{id}", tenant_queues.delete_dead, "queue.not_found", status=204),
    _key("GET", "/fetch", tenant_fetch.get),
    _key("PUT", "/fetch", tenant_fetch.put, "fetch.invalid", body=tenant_fetch.FetchBody),
    _key("DELETE", "/fetch", tenant_fetch.delete, status=204),
    _key("GET", "/ai", tenant_services.model, "service.not_found"),
    _key("PUT", "/ai", tenant_services.put_model, "service.invalid", body=tenant_services.ModelBody),
    _key("DELETE", "/ai", tenant_services.delete_model, "service.not_found", status=204),
    _key("GET", "/mcp-servers", tenant_services.servers),
    _key("GET", "/mcp-servers/{name}", tenant_services.server, "service.not_found"),
    _key("PUT", "/mcp-servers/{name}", tenant_services.put_server, "service.invalid", "workflow.invalid_name",
         body=tenant_services.ServerBody),
    _key("DELETE", "/mcp-servers/{name}", tenant_services.delete_server, "service.not_found", status=204),
    _key("GET", "/schedules", schedules.listed),
    _key("PUT", "/schedules/{name}", schedules.put, "schedule.invalid", "schedule.too_many", "workflow.invalid_name",
         "tenant.not_found", "workflow.not_found", *_CODE, status=201, body=schedules.ScheduleBody),
    _key("GET", "/schedules/{name}", schedules.get, "schedule.not_found"),
    _key("DELETE", "/schedules/{name}", schedules.delete, "schedule.not_found", status=204),
    _key("POST", "/schedules/{name}/pause", schedules.pause, "schedule.not_found"),
    _key("POST", "/schedules/{name}/resume", schedules.resume, "schedule.not_found"),
    _key("POST", "/schedules/{name}/run", schedules.run, "schedule.not_found", *_NEW, status=201),
    _key("GET", "/audit", audit.of_tenant, "query.invalid", query=("before", "limit")),
    _key("GET", "/secrets", tenants.secrets),
    _key("PUT", "/secrets/{name}", tenants.set_secret, "secret.invalid", "too_large", status=204,
         body=tenants.SecretBody),
    _key("DELETE", "/secrets/{name}", tenants.remove_secret, status=204),
    _key("POST", "/trigger", tenants.make, status=201),
    _key("DELETE", "/trigger", tenants.remove, status=204),
    _post("/api/hooks/{tenant}/{secret}", tenants.pull, status=202, query=("id",),
          error_codes=("not_found", "tenant.not_found", "instance.invalid_id", "query.invalid", "body.not_json",
                       *_CODE)),
    _key("GET", "/instances", tenant_instances.listed, "query.invalid",
         query=(*FIELDS, "before", "limit")),
    _key("POST", "/instances", tenant_instances.create, "instance.already_exists", *_NEW, status=201,
         body=tenant_instances.TenantCreateBody),
    _key("POST", "/instances/batch", tenant_instances.create_batch, "workflow.invalid_batch", *_NEW, status=201,
         body=tenant_instances.BatchBody),
    _key("POST", "/instances/delete", tenant_instances.delete_batch, "workflow.invalid_batch",
         body=tenant_instances.DeleteBatchBody),
    _key("POST", "/bulk", tenant_bulks.begin, "bulk.invalid", "bulk.too_many", "filter.invalid",
         "instance.cannot_restart", status=202, body=tenant_bulks.BulkBody),
    _key("GET", "/bulk", tenant_bulks.listed),
    _key("GET", "/bulk/{bulk}", tenant_bulks.get, "bulk.not_found"),
    _key("POST", "/bulk/{bulk}/stop", tenant_bulks.stop, "bulk.not_found"),
    _key("POST", "/instances/{id}/migrate", tenant_instances.migrate, "instance.not_found", "version.not_found",
         "instance.cannot_migrate", "busy", status=202, body=tenant_instances.MigrateBody),
    *map(_of_tenant, OF_INSTANCES),
)  # fmt: skip

# What the audit log calls the changes that these make (web/http/audit.py).
AUDITED: Mapping[View, str] = {
    operations.pause: "instance.pause",
    operations.resume: "instance.resume",
    operations.terminate: "instance.terminate",
    operations.restart: "instance.restart",
    operations.kill_worker: "instance.kill-worker",
    operations.wake: "instance.wake",
    operations.skip_sleeps: "instance.skip-sleeps",
    operations.delete: "instance.delete",
    forks.change_code: "instance.code",
    tenant_instances.migrate: "instance.migrate",
    tenant_bulks.begin: "bulk.begin",
    tenant_bulks.stop: "bulk.stop",
    tenant_instances.delete_batch: "instances.delete",
    tenant_workflows.deploy_main: "workflow.deploy",
    tenant_workflows.deploy: "workflow.deploy",
    tenant_workflows.delete_any_version: "version.delete",
    tenant_workflows.delete_version: "version.delete",
    tenant_queues.put: "queue.set",
    tenant_queues.delete: "queue.delete",
    tenant_fetch.put: "fetch.set",
    tenant_fetch.delete: "fetch.delete",
    tenant_services.put_model: "model.set",
    tenant_services.delete_model: "model.delete",
    tenant_services.put_server: "mcp-server.set",
    tenant_services.delete_server: "mcp-server.delete",
    schedules.put: "schedule.set",
    schedules.delete: "schedule.delete",
    schedules.pause: "schedule.pause",
    schedules.resume: "schedule.resume",
    tenants.set_secret: "secret.set",
    tenants.remove_secret: "secret.delete",
    tenants.make: "trigger.make",
    tenants.remove: "trigger.delete",
    tenants.make_key: "key.make",
    tenants.delete_tenant: "tenant.delete",
}

_CALLS: tuple[Call, ...] = (
    _page("/", pages.start),
    _page("/examples", pages.examples),
    _page("/about", pages.about),
    _get("/playground.png", link_previews.site_picture),
    _get("/llms.txt", markdown.llms),
    _get("/docs/{name}.md", markdown.document, error_codes=("not_found",)),
    _get("/examples.md", markdown.examples),
    _get("/examples/{slug}.md", markdown.example, error_codes=("example.not_found",)),
    _get("/examples/{slug}.png", link_previews.example_picture, error_codes=("example.not_found", "too_many", "busy")),
    _get("/s/{snippet}.png", link_previews.snippet_picture, error_codes=("snippet.not_found", "too_many", "busy")),
    _page("/examples/{slug}", pages.example, error_codes=("example.not_found",)),
    _get("/s/{snippet}.py", pages.raw, error_codes=("snippet.not_found",)),
    _page("/s/{snippet}/embed", pages.embed, query=("theme", "readonly"), error_codes=("snippet.not_found",)),
    _page("/s/{snippet}", pages.snippet, error_codes=("snippet.not_found",)),
    _page("/instances/{id}", pages.instance, query=("at",), error_codes=("instance.not_found", "query.invalid")),
    _page(
        "/answer/{token}",
        answer.show,
        error_codes=("link.invalid", "link.expired", "wait.over"),
    ),
    _post(
        "/answer/{token}",
        answer.send,
        status=303,
        query=("type",),
        error_codes=(
            "link.invalid",
            "link.expired",
            "wait.over",
            "event.payload_mismatch",
            "body.not_json",
            "body.invalid",
            "not_serialisable",
            "too_large",
            "too_many",
        ),
    ),
    _page(
        "/inbox",
        inbox.view,
        query=("ids", "before"),
        error_codes=("query.invalid", "key.wrong", "key.revoked", "too_many"),
    ),
    _page("/compare", compare.view, query=("a", "b"), error_codes=("instance.not_found",)),
    _page("/new", pages.new, query=("source", "params"), error_codes=("query.invalid", "body.not_json", *_CODE)),
    _post("/new", pages.store_new, status=303, error_codes=("body.invalid", "body.not_json", "cross_origin", *_CODE)),
    _get("/sign-in", sign_in.sign_in, status=303, query=("token",), without_start_token=True, error_codes=_SIGN_IN),
    _post("/api/check", check.check, body=check.CheckBody, error_codes=_CODE),
    _post("/api/snippets", snippets.create, status=201, body=snippets.SnippetBody, error_codes=_CODE),
    _get("/api/snippets/{snippet}", snippets.get, error_codes=("snippet.not_found",)),
    _get("/api/snippets/{snippet}/export.zip", exports.of_snippet, error_codes=("snippet.not_found", *_EXPORT)),
    _get("/api/examples", snippets.examples),
    _get("/api/examples/{slug}", snippets.example, error_codes=("example.not_found",)),
    _get("/api/examples/{slug}/export.zip", exports.of_example, error_codes=("example.not_found", *_EXPORT)),
    _post("/api/export.zip", exports.of_source, body=exports.ExportBody, error_codes=_EXPORT),
    _page("/tenants", tenant_pages.tenants, query=("operator", "after", "limit"), error_codes=_OPERATOR),
    _page("/tenants/{tenant}", tenant_pages.tenant, tenant_key=True),
    _page(
        "/tenants/{tenant}/instances/{id}",
        tenant_pages.tenant_run,
        query=("at",),
        tenant_key=True,
        error_codes=("instance.not_found", "query.invalid"),
    ),
    _post(
        "/api/instances",
        instances.create,
        status=201,
        body=instances.CreateBody,
        error_codes=(
            "instance.invalid_id",
            "instance.already_exists",
            "source.refused",
            "snippet.not_found",
            "example.not_found",
            "instance.cannot_break",
            "workflow.invalid_tag",
            "busy",
            *_CODE,
        ),
    ),
    _get("/api/statuses", instances.statuses, query=("ids",), error_codes=("query.invalid",)),
    *OF_INSTANCES,
    _operation("chaos", chaos.start, operations.NoBody, "instance.cannot_run_chaos", "too_many", "busy"),
    _get(f"{INSTANCE}/chaos", chaos.rows, error_codes=("instance.not_found",)),
    _get(f"{INSTANCE}/dead", tenant_queues.own_dead, error_codes=("instance.not_found",)),
    _operation("dead/{message}/retry", tenant_queues.retry_own_dead, operations.NoBody, "queue.not_found"),
    Call(
        "DELETE",
        f"{INSTANCE}/dead/{{message}}",
        tenant_queues.delete_own_dead,
        204,
        control_token=True,
        error_codes=("instance.not_found", "queue.not_found"),
    ),
    *OF_TENANTS,
    _get("/api/audit", audit.of_all, query=("tenant", "before", "limit"), error_codes=("query.invalid", *_OPERATOR)),
    _post("/mcp", mcp.everybody, error_codes=("body.not_json", "too_large", "too_many", "key.wrong", "key.revoked")),
    _post(
        "/mcp/tenants/{tenant}",
        mcp.tenant,
        tenant_key=True,
        audit="agent.call",
        error_codes=("body.not_json", "too_large", "too_many"),
    ),
    _get("/healthz", health.healthz, without_start_token=True),
    _get("/readyz", health.readyz, without_start_token=True, error_codes=("busy",)),
    _get("/security", files.security, without_start_token=True),
    _get("/metrics", metrics.metrics, without_start_token=True, error_codes=_OPERATOR),
    _get("/openapi.json", openapi.document, without_start_token=True),
    _get("/static/{path:path}", files.static, undocumented=True, without_start_token=True),
    _get("/favicon.ico", files.icon, undocumented=True, without_start_token=True),
    _get("/robots.txt", files.robots, undocumented=True, without_start_token=True),
)

CALLS = tuple(replace(call, audit=AUDITED.get(call.view, "")) for call in _CALLS)
