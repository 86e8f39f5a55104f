"""Exports of the log with a manifest: every record that was asked for, up to a checkpoint that was signed before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256

from stepup_middleware.core.audit_record import AuditRecord
from stepup_middleware.core.export_formats import ExportFormat
from stepup_middleware.core.moments import iso
from stepup_middleware.errors import EvidenceError, StoreError
from stepup_middleware.evidence.database import TilesOf
from stepup_middleware.evidence.findings import Bits
from stepup_middleware.evidence.manifest import ClaimedTree, ExportClaim, Manifest, ProvedTree
from stepup_middleware.log.checkpoints import read_checkpoint
from stepup_middleware.log.leaf_sets import prove_set
from stepup_middleware.log.notes import Note, read_note
from stepup_middleware.log.tiles import TileError
from stepup_middleware.stores.audit_log import AuditLog

from .audit_search import AuditSearch
from .signing import CheckpointSigner
from .walking import batches

_LINES = 200  # written at once


class LogExport:
    """One export, to be iterated once: it yields parts of the file. Then ``manifest`` returns its manifest.

    ``records``: how many were written so far. ``first_seq`` and ``seq``: serial numbers of the first and the last of
    them, 0 before; ``last_seq``: that of the log when the export began. ``refused``: how many were left out as the app
    did not write them, which ``stepup audit verify`` tells of.
    """

    def __init__(
        self,
        log: AuditLog,
        workspace_id: str | None,
        wanted: AuditSearch,
        form: ExportFormat,
        *,
        clock: Callable[[], datetime],
        signer: CheckpointSigner | None = None,
        product: str = "stepup-middleware",
    ) -> None:
        self.form: ExportFormat = form
        self.records: int = 0
        self.first_seq: int = 0
        self.seq: int = 0
        self.last_seq: int = 0
        self.refused: int = 0
        self._log = log
        self._workspace_id = workspace_id
        self._wanted = wanted
        self._clock = clock
        self._signer = signer
        self._product = product
        self._unproved = self._length = 0
        self._digest = sha256()
        self._notes: dict[int, Note] = {}
        self._sizes: dict[int, int] = {}
        self._shown: dict[int, Bits] = {}
        self._is_fresh = self._is_over = False

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the parts of the file. Raises ``StoreError``."""
        await self._begin()
        lines = [self.form.head]
        async for batch in batches(self._log, self._workspace_id, self._wanted.filter):
            taken = [record for record in batch if self._wanted.admits(record) and self._takes(record)]
            lines += [self.form.line(record, product=self._product) for record in taken]
            if len(lines) >= _LINES:
                yield self._written(lines)
                lines = []
        yield self._written(lines)
        self._is_over = True

    async def _begin(self) -> None:
        """Have the log signed as it is now: whatever is in that tree was committed before anything is read."""
        with suppress(StoreError):  # what there is serves as well
            self._is_fresh = self._signer is not None and await self._signer.sign() is not None
        self.last_seq = await self._log.last_seq()
        for number, _ in enumerate(await self._log.trees(), 1):
            kept = await self._log.last_checkpoint(log=number)
            if kept is not None:
                self._notes[number] = read_note(kept.note)
                self._sizes[number] = kept.size
                self._shown[number] = Bits()

    def _takes(self, record: AuditRecord) -> bool:
        """Take a record in, or tell that it is not for this export."""
        if record.refused is not None:
            self.refused += 1
            return False
        log, index = record.log or 0, record.index
        if index is not None and index < self._sizes.get(log, 0):
            self._shown[log].add(index)
        elif self._is_fresh:  # it was written after the export began
            return False
        else:
            self._unproved += 1
        self.records += 1
        self.first_seq, self.seq = self.first_seq or record.seq, record.seq
        return True

    def _written(self, lines: list[str]) -> str:
        text = "".join(lines)
        raw = text.encode()
        self._digest.update(raw)
        self._length += len(raw)
        return text

    async def manifest(self) -> Manifest:
        """Return the manifest of what was written. Raises ``EvidenceError`` before all was, and ``StoreError``."""
        if not self._is_over:
            raise EvidenceError("an export has its manifest when all of it was written")
        trees, proved = [], []
        for log, note in self._notes.items():
            checkpoint = read_checkpoint(note.text)
            indexes = self._shown[log].present()
            try:
                hashes = [each async for each in prove_set(TilesOf(self._log, log), indexes, checkpoint.size)]
            except TileError as error:
                raise StoreError(f"the tree of the log is not as it was signed: {error}") from error
            trees.append(ClaimedTree(log=log, checkpoint=checkpoint))
            proved.append(ProvedTree(note=note, hashes=hashes))
        signer = self._signer if self._is_fresh else None
        claim = ExportClaim(
            made_at=self._clock(),
            origin="" if signer is None else signer.keys[0].name,
            workspace=self._workspace_id,
            wanted=_pairs(self._wanted),
            form=self.form,
            records=self.records,
            unproved=self._unproved,
            length=self._length,
            sha256=self._digest.hexdigest(),
            trees=tuple(trees),
        )
        signature = None if signer is None else signer.sign_statement(claim.statement)
        return Manifest(claim=claim, signature=signature, trees=proved)


def _pairs(wanted: AuditSearch) -> tuple[tuple[str, str], ...]:
    """Return what was asked for as pairs of name and value."""
    filter_ = wanted.filter
    values = {
        **{name: getattr(filter_, name) for name in filter_.__dataclass_fields__},
        "severity": wanted.severity,
        "factor": wanted.factor,
        "prompt_part": wanted.prompt_part,
    }
    return tuple(
        (name, iso(value) if isinstance(value, datetime) else str(value))
        for name, value in sorted(values.items())
        if value is not None
    )
