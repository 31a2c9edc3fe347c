"""Sends spans by OTLP over HTTP, with the SDK of OpenTelemetry, which is an extra: `pip install
dynamic-workflows-playground[otel]`. Nothing of it is imported unless the setting `tracing` is on.

Where spans go, how many wait and how they are sampled is said by the SDK's own variables: `OTEL_EXPORTER_OTLP_ENDPOINT`
and `…_HEADERS`, `OTEL_BSP_MAX_QUEUE_SIZE` (2,048 spans wait at most; the oldest are dropped) and `OTEL_TRACES_SAMPLER`
(by default what the `traceparent` of the create says, and all where there is none), `OTEL_SERVICE_NAME` (playground).

A span is put into a queue in memory, and a thread sends it: no run waits for a receiver or fails with it. A node that
stops gives what is left `CLOSE_SECONDS`.
"""

import asyncio
import threading
from typing import TYPE_CHECKING

from playground.engine.tracing import Span, TraceContext, Tracing
from playground.settings import BadSetting, Settings, setting_label

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

CLOSE_SECONDS = 3
SERVICE = "playground"
_INSTALL = "it needs OpenTelemetry's SDK: pip install 'dynamic-workflows-playground[otel]'"
_NANOSECONDS = 1_000_000  # in a millisecond


def open_tracing(settings: Settings, node: str) -> Tracing | None:
    """Where this node's spans go; None: the setting is off. Raises BadSetting: the extra is not installed."""
    if not settings.tracing:
        return None
    try:
        return OtlpTracing(node)
    except ImportError:
        raise BadSetting(f"{setting_label('tracing')}: {_INSTALL}") from None


class OtlpTracing:
    """A queue of spans and the thread that sends them."""

    def __init__(self, node: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        resource = Resource.create().merge(Resource({SERVICE_INSTANCE_ID: node}))
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        self._trace, self._readable, self._resource = trace, ReadableSpan, resource
        self._sampling = frozenset({Decision.RECORD_AND_SAMPLE})
        self._scope = InstrumentationScope(SERVICE)
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._processor = BatchSpanProcessor(OTLPSpanExporter())

    def samples(self, trace_id: int, parent: TraceContext | None) -> bool:
        """See `Tracing`."""
        context = None
        if parent is not None:
            context = self._trace.set_span_in_context(self._trace.NonRecordingSpan(self._shared(parent, remote=True)))
        return self._sampler.should_sample(context, trace_id, SERVICE).decision in self._sampling

    def export(self, span: Span) -> None:
        """See `Tracing`."""
        trace = self._trace
        status = trace.Status() if span.error is None else trace.Status(trace.StatusCode.ERROR, span.error)
        self._processor.on_end(
            self._readable(
                span.name,
                self._shared(span.context),
                parent=None if span.parent is None else self._shared(span.parent),
                resource=self._resource,
                attributes=span.attributes,
                links=[trace.Link(self._shared(link, remote=True)) for link in span.links],
                status=status,
                start_time=round(span.began * _NANOSECONDS),
                end_time=round(span.ended * _NANOSECONDS),
                instrumentation_scope=self._scope,
            )
        )

    async def close(self) -> None:
        """See `Tracing`."""
        # A thread of ours, since the loop's would hold up the end of the process while a receiver does not answer.
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        loop = asyncio.get_running_loop()
        until = loop.time() + CLOSE_SECONDS
        while closing.is_alive() and loop.time() < until:
            await asyncio.sleep(0.02)

    def _shared(self, context: TraceContext, *, remote: bool = False) -> "SpanContext":
        flags = self._trace.TraceFlags.SAMPLED if context.sampled else self._trace.TraceFlags.DEFAULT
        return self._trace.SpanContext(context.trace_id, context.span_id, remote, self._trace.TraceFlags(flags))
