"""The contracts between the tracing engine and the views, and the values both sides speak.

Neither side imports the other; both import this package. It needs numpy and the standard library only.
Read `contracts` first, then `live`.
"""

from ior_nb.runtime.batch import EventBatch, Row, new_tables
from ior_nb.runtime.completeness import Completeness
from ior_nb.runtime.context import (
    context_with_runtime_bindings,
    context_with_trace_filters,
    runtime_bindings_from_context,
    runtime_publisher_from_context,
    trace_filters_from_context,
)
from ior_nb.runtime.contracts import (
    Configurator,
    EventIngester,
    EventSink,
    HostsTrace,
    LiveTrace,
    LiveTrieSource,
    ProbeManager,
    RecordingController,
    RuntimePublisher,
    RuntimeState,
    Sequencer,
    SheetSource,
    SnapshotSource,
    Snapshotter,
    StreamSource,
    TraceRuntimeBindings,
    TraceStarter,
    TreeSource,
)
from ior_nb.runtime.filter import Filter
from ior_nb.runtime.live import (
    FilterControl,
    FlameSource,
    LiveRuntime,
    ProbeControl,
    RecordingControl,
    StreamTail,
    TraceControl,
)
from ior_nb.runtime.pushdown import Pushdown
from ior_nb.runtime.schema import COLUMNS, Column
from ior_nb.runtime.sheet import Sheet, Tree
from ior_nb.runtime.shown import FlameChoices, FlameColumns, Frame, RecordingState, Suggestion, Task, TraceState
from ior_nb.runtime.statistics import (
    Activity,
    Bucket,
    DirectoryRow,
    FamilyRow,
    FileRow,
    Histogram,
    LineRow,
    ProcessRow,
    Rates,
    Snapshot,
    SyscallRow,
    Trend,
)
from ior_nb.runtime.strings import Recoder, StringTable
from ior_nb.runtime.values import Accounting, ProbeState, Scope, SnapshotNode, TraceOptions

__all__ = [
    "COLUMNS",
    "Accounting",
    "Activity",
    "Bucket",
    "Column",
    "Completeness",
    "Configurator",
    "DirectoryRow",
    "EventBatch",
    "EventIngester",
    "EventSink",
    "FamilyRow",
    "FileRow",
    "Filter",
    "FilterControl",
    "FlameChoices",
    "FlameColumns",
    "FlameSource",
    "Frame",
    "Histogram",
    "HostsTrace",
    "LineRow",
    "LiveRuntime",
    "LiveTrace",
    "LiveTrieSource",
    "ProbeControl",
    "ProbeManager",
    "ProbeState",
    "ProcessRow",
    "Pushdown",
    "Rates",
    "Recoder",
    "RecordingControl",
    "RecordingController",
    "RecordingState",
    "Row",
    "RuntimePublisher",
    "RuntimeState",
    "Scope",
    "Sequencer",
    "Sheet",
    "SheetSource",
    "Snapshot",
    "SnapshotNode",
    "SnapshotSource",
    "Snapshotter",
    "StreamSource",
    "StreamTail",
    "StringTable",
    "Suggestion",
    "SyscallRow",
    "Task",
    "TraceControl",
    "TraceOptions",
    "TraceRuntimeBindings",
    "TraceStarter",
    "TraceState",
    "Tree",
    "TreeSource",
    "Trend",
    "context_with_runtime_bindings",
    "context_with_trace_filters",
    "new_tables",
    "runtime_bindings_from_context",
    "runtime_publisher_from_context",
    "trace_filters_from_context",
]
