// Drives Go's pacer and CPU limiter with random cycles and prints what went in
// and what came out, a call a line. See run.sh.

package runtime_test

import (
	"bufio"
	"fmt"
	"math"
	"math/rand"
	"os"
	"runtime"
	"testing"
)

func TestOracle(t *testing.T) {
	f, err := os.Create(os.Getenv("ORACLE_OUT"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	defer w.Flush()
	rng := rand.New(rand.NewSource(1))
	for i := 0; i < 12; i++ {
		pacer(w, rng, i)
	}
	for i := 0; i < 6; i++ {
		limiter(w, rng, int32(1+rng.Intn(8)))
	}
}

func bytesUpTo(rng *rand.Rand, bits int) uint64 {
	return uint64(rng.Int63n(1 << (12 + rng.Intn(bits-12))))
}

func pacer(w *bufio.Writer, rng *rand.Rand, round int) {
	percents := []int32{100, 100, 50, 200, 1000, 0, -1, 25, 1, 100000}
	limits := []int64{math.MaxInt64, math.MaxInt64, 512 << 20, 64 << 20, 4 << 20, 1 << 20, 0, 8 << 30}
	percent, limit := percents[round%len(percents)], limits[rng.Intn(len(limits))]
	p := runtime.NewOraclePacer(percent, limit)
	fmt.Fprintln(w, "new", percent, limit)

	var free, alloc, ready, marked uint64
	check := func() uint64 {
		free = bytesUpTo(rng, 30)
		alloc = marked + bytesUpTo(rng, 26)
		ready = free + alloc + bytesUpTo(rng, 28)
		p.SetMemory(free, alloc, ready)
		trigger, goal := p.Trigger()
		fmt.Fprintln(w, "trigger", free, alloc, ready, trigger, goal, p.Runway(), math.Float64bits(p.ConsMark()))
		return trigger
	}
	for cycle := 0; cycle < 14; cycle++ {
		procs := 1 + rng.Intn(16)
		stack, globals := bytesUpTo(rng, 20), bytesUpTo(rng, 22)
		trigger := check()
		if trigger > 1<<36 {
			trigger = marked + bytesUpTo(rng, 30)
		}
		live := max(trigger, marked)
		p.Start(live, stack, globals, procs)
		fmt.Fprintln(w, "start", live)
		check()

		heapWork := bytesUpTo(rng, 30)
		end := live + bytesUpTo(rng, 24)
		if rng.Intn(8) == 0 {
			end = live
		}
		elapsed := 1 + rng.Int63n(50e6)
		most := elapsed * int64(procs)
		assist := int64(float64(most) * rng.Float64() * 0.7)
		idle := int64(float64(most) * rng.Float64() * 0.3)
		lastGoal := p.End(end, heapWork, assist, idle, elapsed, procs)
		utilization := 0.25 + float64(assist)/float64(most)
		idleUtilization := float64(idle) / float64(most)
		fmt.Fprintln(w, "end", free, alloc, ready, end, heapWork+stack+globals,
			math.Float64bits(utilization), math.Float64bits(idleUtilization), lastGoal)

		marked = bytesUpTo(rng, 32)
		p.ResetLive(marked)
		fmt.Fprintln(w, "live", marked, heapWork, stack+globals)
		switch rng.Intn(6) {
		case 0:
			v := percents[rng.Intn(len(percents))]
			p.SetPercent(v)
			fmt.Fprintln(w, "percent", v)
		case 1:
			v := limits[rng.Intn(len(limits))]
			p.SetLimit(v)
			fmt.Fprintln(w, "limit", v)
		}
		p.Commit(marked, false)
		fmt.Fprintln(w, "commit", marked, false)
		check()
		if rng.Intn(2) == 0 {
			live := marked + bytesUpTo(rng, 22)
			p.Commit(live, true)
			fmt.Fprintln(w, "commit", live, true)
			check()
		}
	}
}

func limiter(w *bufio.Writer, rng *rand.Rand, procs int32) {
	now := int64(1000)
	l := runtime.NewGCCPULimiter(now, procs)
	fmt.Fprintln(w, "limiter", procs, now)
	on := false
	for i := 0; i < 60; i++ {
		step := 1 + rng.Int63n(1<<(20+rng.Intn(11)))
		now += step
		switch rng.Intn(5) {
		case 0:
			on = !on
			l.StartGCTransition(on, now)
			fmt.Fprintln(w, "update", now, !on, 0, l.Fill(), l.Overflow(), l.Limiting())
			now += 1 + rng.Int63n(1<<(16+rng.Intn(12)))
			l.FinishGCTransition(now)
			fmt.Fprintln(w, "pause", now, l.Fill(), l.Overflow(), l.Limiting())
		default:
			assist := int64(float64(step*int64(procs)) * rng.Float64())
			due := l.NeedUpdate(now)
			l.AddAssistTime(assist)
			l.Update(now)
			fmt.Fprintln(w, "due", now, due)
			fmt.Fprintln(w, "update", now, on, assist, l.Fill(), l.Overflow(), l.Limiting())
		}
		if rng.Intn(20) == 0 && !on {
			procs = int32(1 + rng.Intn(8))
			l.ResetCapacity(now, procs)
			fmt.Fprintln(w, "procs", procs, l.Fill(), l.Overflow(), l.Limiting())
		}
	}
}
