// Runs an allocation trace in text on Go's own memory manager. Prints a line of JSON for each
// snapshot: what runtime.MemStats and the resident set were, under the names that goheap replay has.
//
// The collected heap has the trace's objects, a table of pointers to them and the snapshots. The
// trace itself lies in mappings of its own.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// A step is a line of the trace; a snapshot's is also told by its place in the array.
type step struct {
	what   byte
	id     uint32
	number int64
}

type moment struct {
	label     string
	since     time.Duration
	processor time.Duration
	rss       int64
	memory    runtime.MemStats
}

// A watch reads the time and the resident set without allocating.
type watch struct {
	start     time.Time
	processor time.Duration
	statm     int
	text      [96]byte
}

func main() {
	if len(os.Args) != 2 {
		fail("one argument is wanted: the trace's file")
	}
	objects, labels, steps := read(os.Args[1])
	table := make([]unsafe.Pointer, objects)
	moments := make([]moment, len(labels))
	w := &watch{}
	var err error
	if w.statm, err = syscall.Open("/proc/self/statm", syscall.O_RDONLY, 0); err != nil {
		fail("/proc/self/statm:", err)
	}
	runtime.GC()
	debug.FreeOSMemory()
	runtime.GC()

	w.start, w.processor = time.Now(), processor()
	w.look(&moments[0], labels[0])
	for at := range steps {
		s := &steps[at]
		switch s.what {
		case 'a':
			object := make([]byte, s.number)
			for page := 0; page < len(object); page += 4096 {
				object[page] = 1
			}
			table[s.id] = unsafe.Pointer(unsafe.SliceData(object))
		case 'f':
			table[s.id] = nil
		case 'g':
			runtime.GC()
		case 'o':
			debug.FreeOSMemory()
		case 'p':
			debug.SetGCPercent(int(s.number))
		case 'l':
			debug.SetMemoryLimit(s.number)
		case 'w':
			time.Sleep(time.Duration(s.number) * time.Millisecond)
		case 's':
			w.look(&moments[s.id], labels[s.id])
		}
	}

	out := json.NewEncoder(os.Stdout)
	for at := range moments {
		if err := out.Encode(moments[at].line()); err != nil {
			fail("stdout:", err)
		}
	}
	runtime.KeepAlive(table)
}

func (w *watch) look(m *moment, label string) {
	m.label = label
	m.since = time.Since(w.start)
	m.processor = processor() - w.processor
	m.rss = w.resident()
	runtime.ReadMemStats(&m.memory)
}

// processor is what all threads of this process have run.
func processor() time.Duration {
	const processCputime = 2
	var now syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, processCputime, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		fail("clock_gettime:", errno)
	}
	return time.Duration(now.Nano())
}

// resident is the second number in statm, in pages.
func (w *watch) resident() int64 {
	length, err := syscall.Pread(w.statm, w.text[:], 0)
	if err != nil {
		fail("/proc/self/statm:", err)
	}
	pages, words := int64(0), 0
	for _, char := range w.text[:length] {
		if char == ' ' {
			words++
		}
		if words == 1 && char != ' ' {
			pages = pages*10 + int64(char-'0')
		}
	}
	return pages * int64(syscall.Getpagesize())
}

// read has a trace's number of objects, its snapshots' labels after the baseline's, and its steps, which
// lie outside the heap. The trace is known to be well-formed.
func read(path string) (objects int64, labels []string, steps []step) {
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		fail(path+":", err)
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if err = syscall.Fstat(fd, &info); err != nil {
		fail(path+":", err)
	}
	text, err := syscall.Mmap(fd, 0, int(info.Size), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		fail(path+":", err)
	}
	defer syscall.Munmap(text)
	lines := 1
	for _, char := range text {
		if char == '\n' {
			lines++
		}
	}
	bytes := lines * int(unsafe.Sizeof(step{}))
	room, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		fail("no room for the trace:", err)
	}
	steps = unsafe.Slice((*step)(unsafe.Pointer(unsafe.SliceData(room))), lines)
	used := 0
	labels = []string{"baseline"}
	for len(text) > 0 {
		end := 0
		for end < len(text) && text[end] != '\n' {
			end++
		}
		line := words(text[:end])
		text = text[min(end+1, len(text)):]
		what := line.letter()
		s := &steps[used]
		switch what {
		case 0, '#':
			continue
		case 'n':
			objects = line.number()
			continue
		case 'a':
			s.id, s.number = uint32(line.number()), line.number()
		case 'f':
			s.id = uint32(line.number())
		case 'p', 'l', 'w':
			s.number = line.number()
		case 's':
			s.id = uint32(len(labels))
			labels = append(labels, strings.TrimSpace(string(line)))
		}
		s.what = what
		used++
	}
	return objects, labels, steps[:used]
}

// words is what is left of a line.
type words []byte

func (w *words) skip() {
	for len(*w) > 0 && ((*w)[0] == ' ' || (*w)[0] == '\t' || (*w)[0] == '\r') {
		*w = (*w)[1:]
	}
}

// letter takes the line's first character, 0 if there is none.
func (w *words) letter() (char byte) {
	if w.skip(); len(*w) > 0 {
		char = (*w)[0]
		*w = (*w)[1:]
	}
	return char
}

// number takes a decimal number.
func (w *words) number() (value int64) {
	w.skip()
	negative := len(*w) > 0 && (*w)[0] == '-'
	if negative {
		*w = (*w)[1:]
	}
	for len(*w) > 0 && (*w)[0] >= '0' && (*w)[0] <= '9' {
		// Downwards, since the least number has no positive counterpart.
		value = value*10 - int64((*w)[0]-'0')
		*w = (*w)[1:]
	}
	if negative {
		return value
	}
	return -value
}

func (m *moment) line() any {
	s := &m.memory
	classes := map[string][2]uint64{}
	for at := range s.BySize {
		if class := &s.BySize[at]; class.Mallocs > 0 {
			classes[strconv.FormatUint(uint64(class.Size), 10)] = [2]uint64{class.Mallocs, class.Frees}
		}
	}
	figures := map[string]any{
		"HeapAlloc": s.HeapAlloc, "HeapInuse": s.HeapInuse, "HeapIdle": s.HeapIdle, "HeapSys": s.HeapSys,
		"HeapReleased": s.HeapReleased, "HeapObjects": s.HeapObjects, "Sys": s.Sys, "StackSys": s.StackSys,
		"MSpanSys": s.MSpanSys, "MCacheSys": s.MCacheSys, "BuckHashSys": s.BuckHashSys, "GCSys": s.GCSys,
		"OtherSys": s.OtherSys, "TotalAlloc": s.TotalAlloc, "Mallocs": s.Mallocs, "Frees": s.Frees,
		"NextGC": s.NextGC, "NumGC": s.NumGC, "NumForcedGC": s.NumForcedGC, "PauseTotalNs": s.PauseTotalNs,
		"GCCPUFraction": s.GCCPUFraction, "BySize": classes,
	}
	return map[string]any{"Label": m.label, "Seconds": m.since.Seconds(), "ProcessorSeconds": m.processor.Seconds(), "RSS": m.rss, "MemStats": figures}
}

func fail(why ...any) {
	fmt.Fprintln(os.Stderr, why...)
	os.Exit(1)
}
