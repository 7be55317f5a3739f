# SPDX-License-Identifier: Apache-2.0
"""Tests the page of mn compare --html: what is in it and, in Chromium, how it looks."""

import os
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib
from xml.etree import ElementTree

from mn_compare_test import imagined
from mn_stub import folder, stub
from mnlib import variants
from mnlib.report import page, plots

SECONDS = 120
WIDTHS = (1200, 400)

# Reports what sticks out of a window of the iframe's width, and how large the plots are.
PROBE = '''<body style="margin:0"><pre id="said">nothing</pre>
<iframe id="frame" src="{page}" style="width:{width}px;height:3000px;border:0"></iframe><script>
document.getElementById("frame").onload = event => {{
  const inside = event.target.contentDocument, root = inside.documentElement, said = [];
  said.push("overflow=" + (root.scrollWidth - event.target.contentWindow.innerWidth));
  const shown = [...inside.querySelectorAll("svg")].filter(plot => plot.getClientRects().length);
  said.push("plots=" + shown.length);
  for (const plot of shown) {{
    const box = plot.getBoundingClientRect();
    said.push("plot=" + Math.round(box.left) + "," + Math.round(box.right));
    const texts = [...plot.querySelectorAll("text")].map(
      text => ({{ words: text.textContent, at: text.getBoundingClientRect() }}));
    for (const one of texts) {{
      if (one.at.left < box.left - 1 || one.at.right > box.right + 1) said.push("cut: " + one.words);
      for (const other of texts)
        if (one !== other && one.at.left < other.at.right - 1 && other.at.left < one.at.right - 1 &&
            one.at.top < other.at.bottom - 4 && other.at.top < one.at.bottom - 4)
          said.push("overlap: " + one.words + " on " + other.words);
    }}
  }}
  document.getElementById("said").textContent = said.join(";");
}};</script>'''


def chromium():
    """The browser, or None; Ubuntu's package is a stub that only asks for a snap."""
    for name in ('chromium', 'chromium-browser', 'google-chrome'):
        path = shutil.which(name)
        if path:
            done = subprocess.run([path, '--version'], stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL, check=False)
            if done.returncode == 0 and 'Chrom' in done.stdout:
                return path
    return None


def browse(*options):
    with tempfile.TemporaryDirectory(dir=folder) as profile:
        return subprocess.run(
            [chromium(), '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
             '--allow-file-access-from-files', '--disable-dev-shm-usage',
             f'--user-data-dir={profile}', *options], stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, timeout=SECONDS, check=True).stdout


def write(name, text):
    path = os.path.join(folder, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def example(several):
    result = imagined(1 / 1.53, 0.03)
    for place in range(several):
        extra = variants.Variant(f'preempt_ms={place * 1000}', {}, True, {'MN_PREEMPT_MS': str(place)})
        result.variants.append(extra)
        result.runs[extra.name] = result.runs['M:N']
        result.sequence += [(extra.name, run) for run in result.runs['M:N']]
    return page.render(result, None, stub)


class Page(unittest.TestCase):
    def test_needs_nothing_from_elsewhere(self):
        text = example(0)
        self.assertEqual(re.findall(r'(?:src|href)=|url\(|@import|https?:', text), [])
        self.assertIn('<h1>M:N is 1.5', text)
        for word in ('app --fast', 'How to read it', 'Linux', '12 pairs', 'prefers-color-scheme: dark'):
            self.assertIn(word, text)

    def test_what_programs_write_is_text(self):
        result = imagined(1)
        result.notes.append('<script>alert(1)</script>')
        result.program.argv = ['<b>&']
        text = page.render(result, None, stub)
        self.assertNotIn('<script', text)
        self.assertIn('&lt;b&gt;&amp;', text)

    def test_plots(self):
        text = example(1)
        images = [ElementTree.fromstring(each) for each in re.findall(r'<svg.*?</svg>', text)]
        self.assertEqual(len(images), 5 + 2 + 2)    # a card each; ratios and timeline for two widths
        for image in images:
            self.assertGreater(len(image.findall('circle')), 5)
            numbers = re.findall(r'="(-?[\d.]+)"', ElementTree.tostring(image, encoding='unicode'))
            self.assertTrue(all(-50 < float(each) < 2000 for each in numbers))

    def test_axes_have_few_round_labels(self):
        for low, high, factor in ((0, 1, 1), (17.9 * 2 ** 20, 19.4 * 2 ** 20, 2 ** -20), (3e-4, 5e-4, 1e6)):
            ticks = plots.Axis(low, high, 0, 330, factor).ticks()
            self.assertTrue(2 <= len(ticks) <= 6, ticks)
            self.assertTrue(all(low <= tick <= high for tick in ticks))
        self.assertEqual(plots.Axis(0.9, 1500, 0, 330, log=True).ticks(), [1, 10, 100, 1000])
        self.assertEqual([plots.label(each, 'x') for each in (0, 1000, 0.25)], ['0', '1,000x', '0.25x'])

    def test_comparisons_without_figures(self):
        result = imagined(1)
        for runs in result.runs.values():
            runs.clear()
        result.sequence.clear()
        self.assertIn('</html>', page.render(result, None, stub))

    def test_equal_and_zero_figures(self):
        result = imagined(1)
        for _, run in result.sequence:
            run.switches = run.user = run.system = 0
        self.assertIn('</html>', page.render(result, None, stub))


class Looks(unittest.TestCase):
    """In a browser. Where there is none, as on Ubuntu without a snap, run.py says so at its end."""

    def setUp(self):
        if chromium() is None:
            self.skipTest('for want of Chromium: install chromium (Debian) or google-chrome')

    def test_nothing_overflows_or_overlaps(self):
        for several in (0, 2):
            path = write(f'page-{several}.html', example(several))
            for width in WIDTHS:
                probe = write('probe.html', PROBE.format(page='file://' + path, width=width))
                seen = re.search(r'<pre id="said">(.*?)</pre>',
                                 browse('--dump-dom', '--window-size=1300,3100', 'file://' + probe))[1]
                facts = seen.split(';')
                self.assertEqual(facts[:2], ['overflow=0', 'plots=7'], (several, width))
                self.assertEqual([fact for fact in facts if fact.startswith(('cut', 'overlap'))], [],
                                 (several, width))
                for left, right in re.findall(r'plot=(-?\d+),(\d+)', seen):
                    self.assertTrue(0 <= int(left) < int(right) <= width, seen)

    def test_plots_are_not_blank(self):
        path = write('page.html', example(0))
        for width in WIDTHS:
            frame = write('frame.html', f'<body style="margin:0"><iframe src="file://{path}" '
                          f'style="width:{width}px;height:2600px;border:0"></iframe>')
            picture = os.path.join(folder, f'page-{width}.png')
            browse(f'--screenshot={picture}', f'--window-size={width},2600', 'file://' + frame)
            rows = pixels(picture)
            # Bands of rows that hold coloured dots: the ratios, the cards, the timeline.
            coloured = [any(max(pixel) - min(pixel) > 60 for pixel in row) for row in rows]
            bands = sum(now and not before for before, now in zip([False] + coloured, coloured))
            self.assertGreaterEqual(bands, 8 if width == WIDTHS[0] else 12)


def pixels(path):
    """The rows of a PNG of 8 bits a channel, as (red, green, blue)."""
    with open(path, 'rb') as file:
        content = file.read()
    width, height, depth, kind = struct.unpack('>IIBB', content[16:26])
    size = {2: 3, 6: 4}[kind]
    assert depth == 8
    packed, at = b'', 8
    while at < len(content):
        length, name = struct.unpack('>I4s', content[at:at + 8])
        packed += content[at + 8:at + 8 + length] if name == b'IDAT' else b''
        at += length + 12
    raw, stride = zlib.decompress(packed), width * size
    before, rows = bytearray(stride), []
    for row in range(height):
        kind, line = raw[row * (stride + 1)], bytearray(raw[row * (stride + 1) + 1:(row + 1) * (stride + 1)])
        unfilter(kind, line, before, size)
        before = line
        rows.append(list(zip(line[0::size], line[1::size], line[2::size])))
    return rows


def unfilter(kind, line, above, size):
    if kind == 2:
        line[:] = bytes((a + b) & 255 for a, b in zip(line, above))
    for i in range(len(line)) if kind in (1, 3, 4) else ():
        left, up, corner = (line[i - size] if i >= size else 0), above[i], (above[i - size] if i >= size else 0)
        if kind == 4:
            guess = left + up - corner
            best = min((abs(guess - each), place, each) for place, each in enumerate((left, up, corner)))[2]
        else:
            best = {1: left, 3: (left + up) // 2}[kind]
        line[i] = (line[i] + best) & 255


if __name__ == '__main__':
    unittest.main()
