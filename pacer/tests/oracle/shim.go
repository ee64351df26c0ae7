// Compiled into Go's own package runtime for its tests: opens the pacer's state
// to driver.go. See run.sh.

package runtime

type OraclePacer struct{ c gcControllerState }

func NewOraclePacer(gcPercent int32, limit int64) *OraclePacer {
	p := Escape(new(OraclePacer))
	p.c.test = true
	p.c.init(gcPercent, limit)
	return p
}

func (p *OraclePacer) SetMemory(free, alloc, ready uint64) {
	p.c.heapFree = sysMemStat(free)
	p.c.totalAlloc.Store(alloc)
	p.c.totalFree.Store(0)
	p.c.mappedReady.Store(ready)
}

func (p *OraclePacer) Trigger() (uint64, uint64) { return p.c.trigger() }
func (p *OraclePacer) Runway() uint64            { return p.c.runway.Load() }
func (p *OraclePacer) ConsMark() float64         { return p.c.consMark }
func (p *OraclePacer) SetPercent(v int32)        { p.c.setGCPercent(v) }
func (p *OraclePacer) SetLimit(v int64)          { p.c.setMemoryLimit(v) }

func (p *OraclePacer) Commit(live uint64, done bool) {
	p.c.heapLive.Store(live)
	p.c.commit(done)
}

func (p *OraclePacer) Start(live, stack, globals uint64, procs int) {
	p.c.globalsScan.Store(globals)
	p.c.heapLive.Store(live)
	p.c.startCycle(0, procs, gcTrigger{kind: gcTriggerHeap})
	p.c.stackScanWork.Store(int64(stack))
	p.c.globalsScanWork.Store(int64(globals))
}

func (p *OraclePacer) End(live, heapWork uint64, assist, idle, elapsed int64, procs int) uint64 {
	p.c.heapLive.Store(live)
	p.c.heapScanWork.Store(int64(heapWork))
	p.c.assistTime.Store(assist)
	p.c.idleMarkTime.Store(idle)
	goal := p.c.heapGoal()
	p.c.endCycle(elapsed, procs)
	return goal
}

func (p *OraclePacer) ResetLive(marked uint64) { p.c.resetLive(marked) }
