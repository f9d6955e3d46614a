"""Programs that run in a process of their own, and say how much memory it took."""

_PEAK = """
import json, sys, time
import numpy as np

def memory(name):
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith(name))

def peak():
    return memory("VmHWM")  # not ru_maxrss, which a process has from its parent
"""

OPEN_PROGRAM = f"""{_PEAK}
from commonspace.store.collection import Collection

start, cpu = time.perf_counter(), time.process_time()
with Collection.open(sys.argv[1], read_only=True) as items:
    items.search(np.ones((1, items.space.dim), np.float32), k=10)
    took = dict(seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu)
    # What belongs to this process alone; a map of a file is shared.
    print(json.dumps(dict(**took, peak_bytes=peak(), own_bytes=memory("RssAnon"))))
"""

RSS_PROGRAM = f"""{_PEAK}
from commonspace.index import make_index
from commonspace.quantization import Quantizer

path, n_items = sys.argv[1], int(sys.argv[2])
with np.load(path) as stored:
    D, codes, queries = stored["D"], stored["codes"], stored["queries"]
quantizer = Quantizer(32, 4).restore(dict(D=D, weight=np.zeros(1)))
before = peak()
index = make_index("codes4", quantizer=quantizer)
rng = np.random.default_rng(0)
start = time.process_time()
for at in range(0, n_items, 1 << 18):
    n = min(1 << 18, n_items - at)
    # Real codes, and one byte of each another one's, so that few are equal.
    some = codes[rng.integers(0, len(codes), n)]
    byte = rng.integers(0, 4, n)
    some[np.arange(n), byte] = codes[rng.integers(0, len(codes), n), byte]
    index.add_codes(np.arange(at, at + n), some)
built = time.process_time() - start
start, asked = time.process_time(), 0
while time.process_time() - start < 1:
    index.search(queries[asked % len(queries)][None], 10)
    asked += 1
pace = asked / (time.process_time() - start)
print(json.dumps(dict(peak_bytes=peak(), before_bytes=before, build_seconds=built, qps_1=pace)))
"""
