/* plugin.c - a qemu-user plugin: executed AArch64 instructions, and on demand simulated cache misses, between markers.
 *
 * A marker is the guest's system call getpriority(0, 0), in Python os.getpriority(0, 0). Options: out=FILE; functions=on
 * (instructions by address too); l1_kib= l1_ways= l2_kib= l2_ways= (count misses). FILE gets for each marker
 *     MARK <number> instructions=<n> sdot=<n> l2_misses=<n>
 * of what ran since the marker before, then with functions=on a line "<address in hex> <instructions>" a block.
 * One thread only: the counters are not atomic. Needs no header:  gcc -O2 -shared -fPIC -DPLUGIN_API=1 -o plugin.so
 * PLUGIN_API: 1 for QEMU 6 to 8, 2 for 9.0, 3 from 9.1 on.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned, uint32_t, uint64_t, void *),
                                             int, int, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t,
                                             uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
#if PLUGIN_API < 3
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
static uint32_t word_of(const struct qemu_plugin_insn *i) { uint32_t w; memcpy(&w, qemu_plugin_insn_data(i), 4); return w; }
#else
extern size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
static uint32_t word_of(const struct qemu_plugin_insn *i) { uint32_t w = 0; qemu_plugin_insn_data(i, &w, 4); return w; }
#endif
__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_API;

enum { NO_REGISTERS = 0, READ_AND_WRITE = 3, GETPRIORITY = 141, LINE_BITS = 6 };

typedef struct block { struct block *next; uint64_t address, runs, seen; uint32_t instructions, sdot; } block;
typedef struct { uint64_t *line, *used; unsigned sets, ways; } cache;

static block *blocks;
static cache l1, l2;
static uint64_t misses, misses_seen, now;
static FILE *out;
static int marks, functions;

static int is_sdot(uint32_t w)  /* vector, by element */
{ return (w & 0xbfe0fc00) == 0x0e809400 || (w & 0xbfc0f400) == 0x0f80e000; }

static void make(cache *c, unsigned kib, unsigned ways)
{
    c->ways = ways; c->sets = (kib << 10 >> LINE_BITS) / ways;
    c->line = calloc((size_t)c->sets * ways, 8); c->used = calloc((size_t)c->sets * ways, 8);
}

static int hit(cache *c, uint64_t line)
{
    size_t first = (line & (c->sets - 1)) * (size_t)c->ways, oldest = first;
    for (size_t i = first; i < first + c->ways; i++) {
        if (c->line[i] == line + 1) { c->used[i] = ++now; return 1; }
        if (c->used[i] < c->used[oldest]) oldest = i;
    }
    c->line[oldest] = line + 1; c->used[oldest] = ++now;
    return 0;
}

static void on_memory(unsigned cpu, uint32_t info, uint64_t address, void *unused)
{ (void)cpu; (void)info; (void)unused; uint64_t line = address >> LINE_BITS; if (!hit(&l1, line) && !hit(&l2, line)) misses++; }

static void on_run(unsigned cpu, void *ran) { (void)cpu; ((block *)ran)->runs++; }

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb); block *b = calloc(1, sizeof *b); (void)id;
    b->address = qemu_plugin_tb_vaddr(tb); b->instructions = (uint32_t)n; b->next = blocks; blocks = b;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        b->sdot += is_sdot(word_of(insn));
        if (l1.sets) qemu_plugin_register_vcpu_mem_cb(insn, on_memory, NO_REGISTERS, READ_AND_WRITE, NULL);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_run, NO_REGISTERS, b);
}

static void on_syscall(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    uint64_t all = 0, sdot = 0;
    (void)id; (void)cpu; (void)a3; (void)a4; (void)a5; (void)a6; (void)a7; (void)a8;
    if (number != GETPRIORITY || a1 || a2) return;
    for (block *b = blocks; b; b = b->next) {
        uint64_t ran = b->runs - b->seen;
        all += ran * b->instructions; sdot += ran * b->sdot;
    }
    fprintf(out, "MARK %d instructions=%llu sdot=%llu l2_misses=%llu\n", marks++, (unsigned long long)all,
            (unsigned long long)sdot, (unsigned long long)(misses - misses_seen));
    for (block *b = blocks; b; b = b->next) {
        if (functions && b->runs != b->seen)
            fprintf(out, "%llx %llu\n", (unsigned long long)b->address,
                    (unsigned long long)((b->runs - b->seen) * b->instructions));
        b->seen = b->runs;
    }
    misses_seen = misses;
    fflush(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    unsigned l1_kib = 0, l1_ways = 1, l2_kib = 0, l2_ways = 1; (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
        functions |= !strcmp(argv[i], "functions=on");
        sscanf(argv[i], "l1_kib=%u", &l1_kib); sscanf(argv[i], "l1_ways=%u", &l1_ways);
        sscanf(argv[i], "l2_kib=%u", &l2_kib); sscanf(argv[i], "l2_ways=%u", &l2_ways);
    }
    if (!out) { fputs("plugin.c: expected out=FILE that can be written\n", stderr); return -1; }
    if (l1_kib && l2_kib) { make(&l1, l1_kib, l1_ways); make(&l2, l2_kib, l2_ways); }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return 0;
}
