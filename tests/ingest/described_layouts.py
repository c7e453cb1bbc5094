"""Made corpora whose labels lie in tables, in the layouts of ESC-50, FMA, Common Voice and AudioFolder."""

from __future__ import annotations

import json
from pathlib import Path

from tests.sounds import speechlike, tone, write_sound

ESC50 = [("dog", 0), ("rain", 10), ("crying baby, loud", 20), ("clock tick", 37)]
FMA_GENRES = {2: "Hip-Hop", 5: "Hip-Hop", 10: "Pop", 140: "", 155: "Rock"}


def esc50(root: Path) -> Path:
    """`meta/esc50.csv` and `audio/FOLD-CLIP-TAKE-TARGET.wav`, 44.1 kHz."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for number, (category, target) in enumerate(ESC50):
        for fold in range(1, 6):
            name = f"{fold}-10003{number}-A-{target}.wav"
            write_sound(root / "audio" / name, speechlike(0.3, 10 * number + fold, 44_100), 44_100)
            quoted = f'"{category}"' if "," in category else category
            lines.append(f"{name},{fold},{target},{quoted},False,10003{number},A")
    (root / "meta").mkdir()
    (root / "meta/esc50.csv").write_text("\n".join(lines) + "\n")
    (root / "README.md").write_text("ESC-50")
    return root


def fma(root: Path) -> Path:
    """`fma_metadata/tracks.csv`, whose header has three lines, and `fma_small/000/000002.mp3`; track 200 has no file."""
    lines = [
        ",album,album,artist,set,set,track,track",
        ",id,title,id,split,subset,genre_top,title",
        "track_id,,,,,,,",
    ]
    for number, (track, genre) in enumerate([*FMA_GENRES.items(), (200, "Pop")]):
        split = ("training", "validation", "test")[number % 3]
        lines.append(f'{track},1,"A, B",{track // 10},{split},small,{genre},Food')
        if track != 200:
            wave = speechlike(0.5, track, 44_100)
            write_sound(root / f"fma_small/{track // 1_000:03d}/{track:06d}.mp3", wave, 44_100)
    (root / "fma_metadata").mkdir()
    (root / "fma_metadata/tracks.csv").write_text("\n".join(lines) + "\n")
    return root


def common_voice(root: Path) -> Path:
    """`train.tsv`, `dev.tsv`, `test.tsv` and `clips/`, with quotes that nobody closes; one clip is in none of them."""
    head = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale"
    number = 0
    for split, clips in (("train", 3), ("dev", 1), ("test", 2)):
        lines = [head]
        for take in range(clips):
            name = f"common_voice_en_{number}.mp3"
            write_sound(root / "en/clips" / name, tone(0.4, 200 + 100 * number, rate=32_000), 32_000)
            lines.append(f'{take % 2}abc{split}\t{name}\t"Hello, she said\t2\t0\ttwenties\t\t\ten')
            number += 1
        (root / f"en/{split}.tsv").write_text("\n".join(lines) + "\n")
    write_sound(root / "en/clips/common_voice_en_99.mp3", tone(0.4, rate=32_000), 32_000)
    return root


def audio_folder(root: Path, kind: str = "csv") -> Path:
    """`train/metadata.csv` and `test/metadata.csv` (or .jsonl) beside their clips, whose names are the same in both."""
    for split, labels in (("train", ("10", "9", "10")), ("test", ("9", "10"))):
        rows = []
        for number, label in enumerate(labels):
            name = f"{'a/' if number else ''}{number:03d}.wav"
            write_sound(root / split / name, speechlike(0.3, number + len(labels)))
            rows.append({"file_name": name, "label": label, "speaker": f"s{number}"})
        if kind == "csv":
            text = "\ufefffile_name,label,speaker\r\n" + "".join(f"{','.join(row.values())}\r\n" for row in rows)
        else:
            text = "".join(json.dumps(row | {"label": int(row["label"])}) + "\n" for row in rows)
        (root / split / f"metadata.{kind}").write_bytes(text.encode())
    return root
