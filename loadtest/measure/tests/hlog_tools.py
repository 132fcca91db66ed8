"""Reads a .hlog file with HdrHistogram's own Python package and prints tag, start, count, p50, p99 per line.

    pip install hdrhistogram
    python tests/hlog_tools.py FILE.hlog

What it printed for tests/data/sample.hlog stands in tests/data/sample.hlog.txt; the test `other_tools_read_our_logs` compares
that with what this package reads and writes.
"""

import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader


def main(path: str) -> None:
    reader = HistogramLogReader(path, HdrHistogram(1, 60_000_000, 3))
    while (histogram := reader.get_next_interval_histogram()) is not None:
        tag, start_s = histogram.get_tag(), histogram.get_start_time_stamp() / 1000
        figures = [histogram.get_value_at_percentile(percentile) for percentile in (50, 99, 100)]
        print(tag, f"{start_s:.3f}", histogram.get_total_count(), *figures)


if __name__ == "__main__":
    main(sys.argv[1])
