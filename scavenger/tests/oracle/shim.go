// Compiled into Go's own package runtime for its tests: opens the scavenger's
// policy to driver.go. See run.sh.

package runtime

// OracleGoals computes both goals from the figures given. The world is stopped
// while the runtime's own figures are out of place.
func OracleGoals(limit int64, ready, goal, lastGoal, lastInUse, inUse, free, page uint64) (uint64, uint64) {
	world := stopTheWorldGC(stwForTestResetDebugLog)
	c := &gcController
	oldReady, oldInUse, oldFree := c.mappedReady.Load(), c.heapInUse, c.heapFree
	oldLastInUse, oldPage := memstats.lastHeapInUse, physPageSize
	oldPercent, oldLimit := scavenge.gcPercentGoal.Load(), scavenge.memoryLimitGoal.Load()

	c.mappedReady.Store(ready)
	c.heapInUse, c.heapFree = sysMemStat(inUse), sysMemStat(free)
	memstats.lastHeapInUse, physPageSize = lastInUse, uintptr(page)
	gcPaceScavenger(limit, goal, lastGoal)
	byPercent, byLimit := scavenge.gcPercentGoal.Load(), scavenge.memoryLimitGoal.Load()

	c.mappedReady.Store(oldReady)
	c.heapInUse, c.heapFree = oldInUse, oldFree
	memstats.lastHeapInUse, physPageSize = oldLastInUse, oldPage
	scavenge.gcPercentGoal.Store(oldPercent)
	scavenge.memoryLimitGoal.Store(oldLimit)
	startTheWorldGC(world)
	return byPercent, byLimit
}

type OracleChunk struct{ d scavChunkData }

func (c *OracleChunk) Alloc(n uint, gen uint32) { c.d.alloc(n, gen) }
func (c *OracleChunk) Free(n uint, gen uint32)  { c.d.free(n, gen) }
func (c *OracleChunk) SetEmpty()                { c.d.setEmpty() }
func (c *OracleChunk) Pack() uint64             { return c.d.pack() }
func (c *OracleChunk) InUse() int               { return int(c.d.inUse) }
func (c *OracleChunk) Should(gen uint32, force bool) bool {
	return c.d.shouldScavenge(gen, force)
}
