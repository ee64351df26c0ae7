// Drives Go's scavenger policy with random figures and prints what went in and
// what came out, a call a line. See run.sh.

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
	for i := 0; i < 300; i++ {
		oracleGoals(w, rng)
	}
	for i := 0; i < 8; i++ {
		oracleChunk(w, rng)
	}
	oracleController(w, rng)
	for i := 0; i < 4; i++ {
		oracleEngine(w, rng, int32(1<<i))
	}
}

func bytesUpTo(rng *rand.Rand, bits int) uint64 {
	return uint64(rng.Int63n(1 << (12 + rng.Intn(bits-12))))
}

func oracleGoals(w *bufio.Writer, rng *rand.Rand) {
	limits := []int64{math.MaxInt64, 512 << 20, 64 << 20, 0, 1<<30 + 1}
	limit := limits[rng.Intn(len(limits))]
	page := uint64(4096) << rng.Intn(3)
	lastInUse := bytesUpTo(rng, 36)
	lastGoal := lastInUse - lastInUse/uint64(2+rng.Intn(9))
	goal := uint64(float64(lastGoal) * (0.2 + 2*rng.Float64()))
	if rng.Intn(10) == 0 {
		lastGoal = 0
	}
	inUse := uint64(float64(lastInUse) * (0.5 + rng.Float64()))
	free := uint64(float64(lastInUse) * 2 * rng.Float64())
	if rng.Intn(4) == 0 {
		free = page * uint64(rng.Intn(3))
	}
	ready := inUse + free + bytesUpTo(rng, 30)
	byPercent, byLimit := runtime.OracleGoals(limit, ready, goal, lastGoal, lastInUse, inUse, free, page)
	fmt.Fprintln(w, "goals", limit, ready, goal, lastGoal, lastInUse, inUse+free, page, byPercent, byLimit)
}

func oracleChunk(w *bufio.Writer, rng *rand.Rand) {
	var c runtime.OracleChunk
	gen := uint32(rng.Intn(3)) - 1
	fmt.Fprintln(w, "chunk")
	for i := 0; i < 60; i++ {
		used := c.InUse()
		switch k := rng.Intn(10); {
		case k < 5 && used < 512:
			n := uint(1 + rng.Intn(512-used))
			if used > 450 {
				n = uint(1 + rng.Intn(min(16, 512-used)))
			}
			c.Alloc(n, gen)
			fmt.Fprint(w, "alloc ", n, " ", gen)
		case k < 8 && used > 0:
			n := uint(1 + rng.Intn(min(used, 1<<rng.Intn(8))))
			c.Free(n, gen)
			fmt.Fprint(w, "free ", n, " ", gen)
		case k == 8:
			c.SetEmpty()
			fmt.Fprint(w, "empty 0 ", gen)
		default:
			gen++
			fmt.Fprint(w, "next 0 ", gen)
		}
		fmt.Fprintln(w, "", c.Pack(), c.Should(gen, false), c.Should(gen, true), c.Should(gen+1, false))
	}
}

func oracleController(w *bufio.Writer, rng *rand.Rand) {
	c := runtime.NewPIController(0.3375, 3.2e6, 1e9, 0.001, 1000)
	for i := 0; i < 200; i++ {
		input, period := rng.Float64(), math.Exp2(10+rng.Float64()*25)
		switch rng.Intn(12) {
		case 0:
			input = math.Inf(1 - 2*rng.Intn(2))
		case 1:
			input = math.NaN()
		case 2:
			input = 1e300 * rng.Float64()
		case 3, 4, 5, 6:
			input /= 100
		}
		output, ok := c.Next(input, 0.01, period)
		fmt.Fprintln(w, "pi", math.Float64bits(input), math.Float64bits(period), math.Float64bits(output), ok)
	}
}

// oracleEngine prints the questions that the loop asks, and the answers it was given:
// "goals met?", "release", "sleep". It parks only at the end of a run, when there
// is nothing left, and is then woken up.
func oracleEngine(w *bufio.Writer, rng *rand.Rand, procs int32) {
	fmt.Fprintln(w, "engine", procs)
	var left uint64
	var s runtime.Scavenger
	s.GoMaxProcs = func() int32 { return procs }
	s.ShouldStop = func() bool {
		met := rng.Intn(100) == 0 || left == 0
		fmt.Fprintln(w, "met", met)
		return met
	}
	s.Scavenge = func(n uintptr) (uintptr, int64) {
		released := min(uint64(n), left)
		if rng.Intn(60) == 0 {
			released /= 2
		}
		released = released &^ 4095
		left -= released
		took := int64(float64(released) * (0.2 + 3*rng.Float64()))
		if rng.Intn(20) == 0 {
			took = 0
		}
		fmt.Fprintln(w, "release", n, released, took)
		return uintptr(released), took
	}
	s.Sleep = func(ns int64) int64 {
		slept := ns
		switch rng.Intn(8) {
		case 0:
			slept = ns / int64(1+rng.Intn(1000))
		case 1:
			slept = ns + rng.Int63n(5e6)
		}
		fmt.Fprintln(w, "sleep", ns, slept)
		return slept
	}
	s.Start()
	for i := 0; i < 4; i++ {
		left = (2 << 20) << rng.Intn(3)
		s.Wake()
		s.BlockUntilParked(5e9)
		fmt.Fprintln(w, "park")
	}
	s.Stop()
}
