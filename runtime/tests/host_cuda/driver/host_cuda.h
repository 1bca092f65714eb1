/* The CUDA driver API on the host's memory, for tests on machines without a GPU.
 *
 * It is stricter than a GPU. An asynchronous operation waits in its stream until something
 * synchronizes, so that a result read too early is not there. Device addresses are of no use to
 * the host, are never given out twice, and every use of them is checked. What is undefined on a
 * GPU (a freed address, a copy over itself, an operation on memory that is being freed) aborts with
 * a message. Everything that has to be given back is counted.
 */
#ifndef HOST_CUDA_H
#define HOST_CUDA_H

#include <cuda.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_RANGES 32

typedef struct Range {
    CUdeviceptr address;
    size_t bytes;
} Range;

/* Guards everything but the functions that operations call. */
extern pthread_mutex_t hc_lock;

typedef struct Counts {
    long device_allocations, device_bytes, peak_bytes, pinned_allocations, streams, events;
    long graphs, graph_execs, contexts, waiting;
} Counts;
extern Counts hc_counts;

/* Prints a message and aborts the process. */
__attribute__((noreturn, format(printf, 1, 2))) void hc_abort(const char *format, ...);

/* Counts a call of a function; returns the error that a test wants it to fail with. */
CUresult hc_call(const char *name);

/* The calling thread's context, NULL where there is none. */
CUcontext hc_current(void);

/* The host's address of device memory. Aborts where it is not alive, too short or another
 * context's. */
void *hc_device(CUdeviceptr address, size_t bytes, const char *what);

/* Whether this is pinned memory. Aborts where only a part of it is, or where it is freed. */
int hc_pinned(const void *address, size_t bytes, const char *what);

/* Aborts where an operation that waits in a stream uses this memory. */
void hc_require_unused(uint64_t address, size_t bytes, const char *what);

/* Runs what waits in the streams that the default stream waits for. Takes and leaves the lock. */
void hc_drain_for_default_stream(void);

/* Begins a function: counts it, fails where a test wants that or where no context is current. */
#define BEGIN_ANYWHERE()                        \
    do {                                        \
        CUresult wanted_ = hc_call(__func__);   \
        if (wanted_ != CUDA_SUCCESS)            \
            return wanted_;                     \
    } while (0)
#define BEGIN()                                 \
    do {                                        \
        BEGIN_ANYWHERE();                       \
        if (hc_current() == NULL)               \
            return CUDA_ERROR_INVALID_CONTEXT;  \
    } while (0)

#endif
