module goheap-replayer

go 1.21
