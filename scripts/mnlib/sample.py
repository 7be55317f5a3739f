# SPDX-License-Identifier: Apache-2.0
"""Input for the programs under test: the same bytes on every machine."""

import random

BLOCK = 1 << 20


def write_mixed(path, mebibytes, seed=1):
    """Text, noise, runs and near-repeats, block by block: compressors work unevenly on it."""
    rng = random.Random(seed)
    words = [''.join(rng.choice('etaoinshrdlu') for _ in range(rng.randint(1, 10))).encode()
             for _ in range(5000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    kinds = [lambda: _text(rng, words, weights), lambda: rng.randbytes(BLOCK),
             lambda: _runs(rng), lambda: _near_repeats(rng)]
    with open(path, 'wb') as file:
        for index in range(mebibytes):
            file.write(kinds[index % len(kinds)]())


def _text(rng, words, weights):
    chosen = rng.choices(words, weights, k=BLOCK // 4)
    lines = (b' '.join(chosen[at:at + 12]) for at in range(0, len(chosen), 12))
    return b'\n'.join(lines)[:BLOCK - 1] + b'\n'


def _runs(rng):
    block = bytearray(BLOCK)
    for _ in range(64):
        at = rng.randrange(BLOCK - 4096)
        block[at:at + 4096] = bytes([rng.randrange(256)]) * 4096
    return bytes(block)


def _near_repeats(rng):
    block = bytearray(rng.randbytes(1024) * (BLOCK // 1024))
    for _ in range(5000):
        block[rng.randrange(BLOCK)] = rng.randrange(256)
    return bytes(block)


def write_video(path, width, height, frames):
    """A moving gradient with a noisy square, as YUV4MPEG2: encoders find motion and detail."""
    rng = random.Random(2)
    noise = rng.randbytes(64 * 64)
    ramp = bytes((x * 3) & 255 for x in range(width * 2 + 4 * frames))
    with open(path, 'wb') as file:
        file.write(f'YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\n'.encode())
        for frame in range(frames):
            luma = bytearray(b''.join(ramp[2 * frame + (y & 31):][:width] for y in range(height)))
            left, top = (frame * 5) % (width - 64), (frame * 3) % (height - 64)
            for row in range(64):
                at = (top + row) * width + left
                luma[at:at + 64] = noise[row * 64:row * 64 + 64]
            chroma = bytes([96 + frame % 64]) * (width * height // 4)
            file.write(b'FRAME\n' + luma + chroma + chroma[::-1])


def write_tree(directory, files=400):
    """A tree of text files to search, ten to a folder."""
    rng = random.Random(3)
    words = [f'{a}{b}{c}' for a in 'bdfgkm' for b in 'aeiou' for c in ('st', 'nd', 'rk', 'mutex')]
    for index in range(files):
        folder = directory / f'{index // 100}' / f'{index // 10 % 10}'
        folder.mkdir(parents=True, exist_ok=True)
        lines = (' '.join(rng.choices(words, k=9)) for _ in range(400))
        (folder / f'{index}.txt').write_text('\n'.join(lines) + '\n')
