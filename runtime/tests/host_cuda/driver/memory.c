/* Device and pinned memory. */
#include "host_cuda.h"

#include <stdlib.h>
#include <string.h>

#define FRESH 0xA5 /* what new memory holds: as floats, tiny negative numbers */
#define FREED 0xDB
#define ALIGNMENT 512
#define GAP 65536 /* between allocations, so that writing past the end hits none */

typedef struct Block {
    uint64_t address; /* the host's own where it is pinned */
    uint64_t mapped;  /* the device's, of pinned memory that it reaches; else 0 */
    size_t bytes;
    unsigned char *data;
    CUcontext context;
    int pinned, alive;
    struct Block *next;
} Block;

static Block *blocks; /* freed ones stay, so that their addresses are known */
/* no address that a processor could follow, so that the host cannot use it by mistake */
static uint64_t next_address = 0x00D0000000000000ull;
static size_t total_bytes = (size_t)1 << 30;

static size_t cached_bytes; /* that can be had, but are not counted as free */

void host_cuda_set_total_memory(size_t bytes) { total_bytes = bytes; }
void host_cuda_set_cached_memory(size_t bytes) { cached_bytes = bytes; }

/* Where a block begins for the host, if it is pinned, or for the device, if it reaches it; else 0 */
static uint64_t begin_of(const Block *block, int for_host)
{
    if (block->pinned)
        return for_host ? block->address : block->mapped;
    return for_host ? 0 : block->address;
}

static Block *find(uint64_t address, int for_host)
{
    for (Block *block = blocks; block != NULL; block = block->next) {
        uint64_t begin = begin_of(block, for_host);
        if (begin != 0 && address >= begin && address < begin + block->bytes)
            return block;
    }
    return NULL;
}

static uint64_t new_address(size_t bytes)
{
    uint64_t address = next_address;
    next_address += (bytes + GAP + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return address;
}

static Block *add(size_t bytes, int pinned)
{
    Block *block = calloc(1, sizeof *block);
    block->data = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    memset(block->data, FRESH, bytes);
    block->bytes = bytes;
    block->pinned = pinned;
    block->alive = 1;
    block->context = hc_current();
    block->address = pinned ? (uint64_t)(uintptr_t)block->data : new_address(bytes);
    block->next = blocks;
    blocks = block;
    return block;
}

/* Checks a use of a block, and returns where in it that begins. */
static size_t check(Block *block, uint64_t address, int for_host, size_t bytes, const char *what)
{
    size_t offset = (size_t)(address - begin_of(block, for_host));
    if (!block->alive)
        hc_abort("%s: address %#llx is freed", what, (unsigned long long)address);
    if (offset + bytes > block->bytes)
        hc_abort("%s: %zu bytes at %#llx, %zu behind the end of its %zu bytes", what, bytes,
                 (unsigned long long)address, offset + bytes - block->bytes, block->bytes);
    return offset;
}

void *hc_device(CUdeviceptr address, size_t bytes, const char *what)
{
    Block *block = find(address, 0);
    if (block == NULL)
        hc_abort("%s: %#llx is in no device memory", what, (unsigned long long)address);
    size_t offset = check(block, address, 0, bytes, what);
    if (hc_current() != NULL && hc_current() != block->context)
        hc_abort("%s: %#llx is of another context", what, (unsigned long long)address);
    return block->data + offset;
}

int hc_pinned(const void *address, size_t bytes, const char *what)
{
    uint64_t number = (uint64_t)(uintptr_t)address;
    Block *block = find(number, 1);
    if (block != NULL)
        check(block, number, 1, bytes, what);
    return block != NULL;
}

/* The host's address of device memory, for the functions that operations call. */
void *host_cuda_resolve(CUdeviceptr address, size_t bytes)
{
    pthread_mutex_lock(&hc_lock);
    void *data = hc_device(address, bytes, "an operation");
    pthread_mutex_unlock(&hc_lock);
    return data;
}

/* Bytes from here to the end of the device memory that this lies in, -1 where it is in none. */
long long host_cuda_room(CUdeviceptr address)
{
    pthread_mutex_lock(&hc_lock);
    Block *block = find(address, 0);
    long long room = -1;
    if (block != NULL && block->alive)
        room = (long long)(begin_of(block, 0) + block->bytes - address);
    pthread_mutex_unlock(&hc_lock);
    return room;
}

static CUresult allocate(uint64_t *address, size_t bytes, int pinned, int mapped)
{
    if (bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&hc_lock);
    int fits = pinned || (size_t)hc_counts.device_bytes + bytes <= total_bytes;
    if (fits) {
        Block *block = add(bytes, pinned);
        block->mapped = mapped ? new_address(bytes) : 0;
        *address = block->address;
        hc_counts.device_allocations += !pinned;
        hc_counts.pinned_allocations += pinned;
        hc_counts.device_bytes += pinned ? 0 : (long)bytes;
        if (hc_counts.device_bytes > hc_counts.peak_bytes)
            hc_counts.peak_bytes = hc_counts.device_bytes;
    }
    pthread_mutex_unlock(&hc_lock);
    return fits ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult release(uint64_t address, int pinned, const char *what)
{
    pthread_mutex_lock(&hc_lock);
    Block *block = find(address, pinned);
    if (block == NULL || block->address != address)
        hc_abort("%s: %#llx is not what was allocated", what, (unsigned long long)address);
    check(block, address, pinned, block->bytes, what);
    if (block->context != hc_current())
        hc_abort("%s: %#llx is of another context", what, (unsigned long long)address);
    hc_require_unused(address, block->bytes, what);
    if (block->mapped != 0)
        hc_require_unused(block->mapped, block->bytes, what);
    block->alive = 0;
    memset(block->data, FREED, block->bytes);
    if (!pinned) /* pinned memory stays, so that nothing else gets its address */
        free(block->data);
    hc_counts.device_allocations -= !pinned;
    hc_counts.pinned_allocations -= pinned;
    hc_counts.device_bytes -= pinned ? 0 : (long)block->bytes;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes)
{
    BEGIN();
    uint64_t number = 0;
    CUresult result = allocate(&number, bytes, 0, 0);
    *address = number;
    return result;
}

CUresult cuMemFree(CUdeviceptr address)
{
    BEGIN();
    return release(address, 0, __func__);
}

CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned int flags)
{
    BEGIN();
    if ((flags & ~(unsigned int)CU_MEMHOSTALLOC_DEVICEMAP) != 0)
        return CUDA_ERROR_NOT_SUPPORTED;
    uint64_t number = 0;
    CUresult result = allocate(&number, bytes, 1, flags != 0);
    *address = (void *)(uintptr_t)number;
    return result;
}

/* The device's address of pinned memory is never the host's here, as it may be on a GPU. */
CUresult cuMemHostGetDevicePointer(CUdeviceptr *mapped, void *address, unsigned int flags)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    Block *block = find((uint64_t)(uintptr_t)address, 1);
    int is_mapped = flags == 0 && block != NULL && block->alive && block->mapped != 0 &&
                    block->address == (uint64_t)(uintptr_t)address;
    *mapped = is_mapped ? block->mapped : 0;
    pthread_mutex_unlock(&hc_lock);
    return is_mapped ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemFreeHost(void *address)
{
    BEGIN();
    return release((uint64_t)(uintptr_t)address, 1, __func__);
}

CUresult cuMemGetInfo(size_t *free_bytes, size_t *total)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    *total = total_bytes;
    *free_bytes = total_bytes - (size_t)hc_counts.device_bytes;
    *free_bytes -= *free_bytes < cached_bytes ? *free_bytes : cached_bytes;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device)
{
    *bytes = total_bytes;
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

/* Synchronous copies wait for what the default stream waits for, and for no other stream. */
CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes)
{
    BEGIN();
    hc_drain_for_default_stream();
    pthread_mutex_lock(&hc_lock);
    hc_pinned(from, bytes, __func__);
    memcpy(hc_device(to, bytes, __func__), from, bytes);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes)
{
    BEGIN();
    hc_drain_for_default_stream();
    pthread_mutex_lock(&hc_lock);
    hc_pinned(to, bytes, __func__);
    memcpy(to, hc_device(from, bytes, __func__), bytes);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}
