"""Published archives: where they are, what their checksums are, and which of them a job fetches."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.storage.addresses import is_remote
from invertone.ingest.obtain.config import FetchConfig
from invertone.ingest.obtain.download import download, make_folder, verify
from invertone.ingest.obtain.part import part_of


@dataclass(frozen=True)
class Archive:
    """A published file: its address, its checksum (`sha256:…` or `md5:…`) and about how many bytes it has."""

    url: str
    checksum: str
    about_bytes: int

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Published:
    """A corpus's archives by part, and the parts that are fetched when none is named."""

    default: tuple[str, ...]
    parts: Mapping[str, Archive]


_SPEECH_COMMANDS = {
    # Checksums as torchaudio 2.11 records them (torchaudio/datasets/speechcommands.py).
    part: Archive(f"http://download.tensorflow.org/data/speech_commands_{part}.tar.gz", f"sha256:{digest}", about)
    for part, digest, about in (
        ("v0.01", "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d", 1_490_000_000),
        ("v0.02", "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58", 2_430_000_000),
    )
}
_LIBRISPEECH = {
    # Checksums as torchaudio 2.11 records them (torchaudio/datasets/librispeech.py).
    part: Archive(f"http://www.openslr.org/resources/12/{part}.tar.gz", f"sha256:{digest}", about)
    for part, digest, about in (
        ("dev-clean", "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", 340_000_000),
        ("dev-other", "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365", 320_000_000),
        ("test-clean", "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", 350_000_000),
        ("test-other", "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29", 330_000_000),
        ("train-clean-100", "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", 6_390_000_000),
        ("train-clean-360", "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf", 23_000_000_000),
        ("train-other-500", "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2", 30_000_000_000),
    )
}
_NSYNTH = {
    # Checksums as the HEAR benchmark records them (hearpreprocess/nsynth_pitch.py).
    part: Archive(
        f"http://download.magenta.tensorflow.org/datasets/nsynth/nsynth-{part}.jsonwav.tar.gz", f"md5:{digest}", about
    )
    for part, digest, about in (
        ("train", "fde6665a93865503ba598b9fac388660", 23_820_000_000),
        ("valid", "87e94a00a19b6dbc99cf6d4c0c0cae87", 1_070_000_000),
        ("test", "5e6f8719bf7e16ad0a00d518b78af77d", 350_000_000),
    )
}
CORPORA: Mapping[str, Published] = {
    # WaveGAN's sc09 is a subset of the first version.
    "sc09": Published(("v0.01",), _SPEECH_COMMANDS),
    "speech_commands": Published(("v0.02",), _SPEECH_COMMANDS),
    "librispeech": Published(("train-clean-100",), _LIBRISPEECH),
    "nsynth": Published(("train", "valid", "test"), _NSYNTH),
}


def plan(config: FetchConfig, corpora: Mapping[str, Published] = CORPORA) -> list[str]:
    """What `--dry-run` prints, without asking the network."""
    lines = []
    for archive in _chosen(config, corpora):
        target = _folder(config) / archive.file
        part = part_of(target)
        size = f"about {archive.about_bytes / 1e9:.2g} GB"
        if target.exists():
            lines.append(f"would verify {target}")
        elif part.exists():
            lines.append(f"would go on with {target}: {part.stat().st_size / 1e9:.2g} of {size}, from {archive.url}")
        else:
            lines.append(f"would fetch {archive.url}, {size}, into {target}")
    return lines


def run(config: FetchConfig, corpora: Mapping[str, Published] = CORPORA) -> None:
    """Fetches what is missing and verifies what is there. Raises UserError for whatever cannot be had."""
    archives, folder = _chosen(config, corpora), _folder(config)
    make_folder(folder)
    for archive in archives:
        target = folder / archive.file
        if target.exists():
            verify(target, archive.checksum)
            print(f"{target.name}: already there, and verified")
        else:
            download(archive.url, archive.checksum, target, config.retries, config.timeout_s)
            print(f"{target.name}: fetched and verified")
    here = os.path.relpath(folder / archives[0].file if len(archives) == 1 else folder)
    print(f"Next:\n  invertone ingest {config.corpus} source={here} out=runs/{config.corpus}")


def _chosen(config: FetchConfig, corpora: Mapping[str, Published]) -> list[Archive]:
    published = corpora[config.corpus]
    for part in config.parts:
        if part not in published.parts:
            known = list(published.parts)
            raise UserError(
                f"{config.corpus} has no part {part!r}",
                fix=f"choose from {', '.join(known)}{did_you_mean(part, known)}",
            )
    archives = [published.parts[part] for part in dict.fromkeys(config.parts or published.default)]
    if not config.mirror:
        return archives
    try:
        address = urllib.parse.urlsplit(config.mirror)
        usable = address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not config.mirror.isprintable() or " " in config.mirror:
        raise UserError(
            "is no http(s) address", where=f"mirror={config.mirror}", fix="write for example http://host/folder"
        )
    if address.username is not None:
        raise UserError("credentials do not belong in an address", where="mirror", fix="give one that needs none")
    return [replace(each, url=f"{config.mirror.rstrip('/')}/{each.file}") for each in archives]


def _folder(config: FetchConfig) -> Path:
    if is_remote(config.out):
        raise UserError(
            "archives are fetched to local disk only", where=config.out, fix="give a local folder, copy them later"
        )
    return Path(config.out)
