"""The corpora that can be ingested: a line for each."""

from __future__ import annotations

from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import Catalogue

_CORPORA = "invertone.ingest.corpora"
CORPORA = Registry(
    Entry("sc09", f"{_CORPORA}.speech_commands:Sc09Config", f"{_CORPORA}.speech_commands:SC09"),
    Entry(
        "speech_commands",
        f"{_CORPORA}.speech_commands:SpeechCommandsConfig",
        f"{_CORPORA}.speech_commands:SPEECH_COMMANDS",
    ),
    Entry("librispeech", f"{_CORPORA}.librispeech:LibrispeechConfig", f"{_CORPORA}.librispeech:READER"),
    Entry("nsynth", f"{_CORPORA}.nsynth:NsynthConfig", f"{_CORPORA}.nsynth:READER"),
    Entry("fsdd", f"{_CORPORA}.fsdd:FsddConfig", f"{_CORPORA}.fsdd:READER"),
    Entry("webdataset", f"{_CORPORA}.webdataset:WebdatasetConfig", f"{_CORPORA}.webdataset:READER"),
    Entry("pictures", f"{_CORPORA}.pictures:PicturesConfig", f"{_CORPORA}.pictures:READER"),
    Entry(
        "webdataset-pictures",
        f"{_CORPORA}.webdataset_pictures:WebdatasetPicturesConfig",
        f"{_CORPORA}.webdataset_pictures:READER",
    ),
    Entry("celeba", f"{_CORPORA}.celeba:CelebaConfig", f"{_CORPORA}.celeba:READER"),
    Entry("lfw", f"{_CORPORA}.lfw:LfwConfig", f"{_CORPORA}.lfw:READER"),
    Entry("folder", f"{_CORPORA}.folder:FolderConfig", f"{_CORPORA}.folder:READER"),
)
"""Schemas by corpus; each implementation is a `ingest.corpora.entry.Reader`."""
CATALOGUE = Catalogue(stage="ingest", selector="corpus", schemas=CORPORA)
