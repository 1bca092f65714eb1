/* Streams and events. */
#include "stream.h"

#include <stdlib.h>
#include <string.h>

static struct CUstream_st default_stream;
static CUstream streams = &default_stream; /* all that are alive */
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;

void hc_append(Queue *queue, const Operation *operation)
{
    Operation *copy = malloc(sizeof *copy);
    *copy = *operation;
    copy->next = NULL;
    if (queue->last != NULL)
        queue->last->next = copy;
    else
        queue->first = copy;
    queue->last = copy;
}

void hc_discard(Queue *queue)
{
    while (queue->first != NULL) {
        Operation *operation = queue->first;
        queue->first = operation->next;
        free(operation);
    }
    queue->last = NULL;
}

CUstream hc_stream(CUstream stream, const char *what)
{
    if (stream == NULL)
        return &default_stream;
    for (CUstream other = streams; other != NULL; other = other->next)
        if (other == stream) {
            if (stream->context != hc_current())
                hc_abort("%s: the stream is of another context", what);
            return stream;
        }
    hc_abort("%s: the stream is destroyed, or was none", what);
}

void hc_enqueue(CUstream stream, Operation operation)
{
    if (stream->capture != NULL) {
        hc_append(&stream->capture->operations, &operation);
        return;
    }
    operation.number = ++stream->queued;
    hc_append(&stream->queue, &operation);
    hc_counts.waiting++;
}

static void check(const Operation *operation, const char *what)
{
    if (operation->kind == CALL)
        for (int i = 0; i < operation->range_count; i++)
            hc_device(operation->ranges[i].address, operation->ranges[i].bytes, what);
    if (operation->kind != COPY)
        return;
    size_t bytes = operation->bytes;
    if (operation->to_host || operation->from_host) {
        uint64_t host = operation->to_host ? operation->to : operation->from;
        if (!hc_pinned((void *)(uintptr_t)host, bytes, what))
            hc_abort("%s: an asynchronous copy of memory that is not pinned", what);
    }
    if (!operation->to_host)
        hc_device(operation->to, bytes, what);
    if (!operation->from_host)
        hc_device(operation->from, bytes, what);
    if (operation->to < operation->from + bytes && operation->from < operation->to + bytes)
        hc_abort("%s: copies %zu bytes over themselves", what, bytes);
}

static int drain(CUstream stream, long until);

/* Does an operation; called without the lock where it is a CALL, which may call anything. */
static void perform(Operation *operation)
{
    check(operation, "when its turn had come");
    switch (operation->kind) {
    case COPY: {
        void *to = (void *)(uintptr_t)operation->to;
        const void *from = (const void *)(uintptr_t)operation->from;
        if (!operation->to_host)
            to = hc_device(operation->to, operation->bytes, "a copy");
        if (!operation->from_host)
            from = hc_device(operation->from, operation->bytes, "a copy");
        memcpy(to, from, operation->bytes);
        break;
    }
    case CALL:
        pthread_mutex_unlock(&hc_lock);
        operation->function(operation->argument);
        pthread_mutex_lock(&hc_lock);
        break;
    case RECORD:
        break;
    }
}

/* Performs a stream's operations up to a number, in order; takes the lock to be held. */
static int drain(CUstream stream, long until)
{
    int performed = 0;
    while (stream->done < until) {
        if (stream->busy) { /* another thread is at it */
            pthread_cond_wait(&idle, &hc_lock);
            continue;
        }
        Operation *operation = stream->queue.first;
        if (operation == NULL)
            break;
        stream->queue.first = operation->next;
        if (stream->queue.first == NULL)
            stream->queue.last = NULL;
        stream->busy = 1;
        perform(operation);
        stream->busy = 0;
        stream->done = operation->number;
        hc_counts.waiting--;
        free(operation);
        performed++;
        pthread_cond_broadcast(&idle);
    }
    return performed;
}

static void drain_all(int blocking_only)
{
    for (CUstream stream = streams; stream != NULL; stream = stream->next)
        if (!blocking_only || !(stream->flags & CU_STREAM_NON_BLOCKING))
            drain(stream, stream->queued);
}

void hc_drain_for_default_stream(void)
{
    pthread_mutex_lock(&hc_lock);
    drain_all(1);
    pthread_mutex_unlock(&hc_lock);
}

static int overlaps(uint64_t a, size_t a_bytes, uint64_t b, size_t b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

void hc_require_unused(uint64_t address, size_t bytes, const char *what)
{
    for (CUstream stream = streams; stream != NULL; stream = stream->next)
        for (Operation *o = stream->queue.first; o != NULL; o = o->next) {
            int used = o->kind == COPY && (overlaps(address, bytes, o->to, o->bytes) ||
                                           overlaps(address, bytes, o->from, o->bytes));
            for (int i = 0; i < o->range_count; i++)
                used |= overlaps(address, bytes, o->ranges[i].address, o->ranges[i].bytes);
            if (used)
                hc_abort("%s: an operation that waits in a stream uses %#llx", what,
                         (unsigned long long)address);
        }
}

static CUresult copy_later(const char *what, CUstream stream, uint64_t to, int to_host,
                           uint64_t from, int from_host, size_t bytes)
{
    Operation operation = {.kind = COPY, .to = to, .to_host = to_host, .from = from,
                           .from_host = from_host, .bytes = bytes};
    pthread_mutex_lock(&hc_lock);
    stream = hc_stream(stream, what);
    check(&operation, what);
    hc_enqueue(stream, operation);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    BEGIN();
    return copy_later(__func__, stream, to, 0, (uint64_t)(uintptr_t)from, 1, bytes);
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    BEGIN();
    return copy_later(__func__, stream, (uint64_t)(uintptr_t)to, 1, from, 0, bytes);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    BEGIN();
    return copy_later(__func__, stream, to, 0, from, 0, bytes);
}

/* Calls a function when its turn comes in a stream; it uses this device memory and no other. */
int host_cuda_enqueue(CUstream stream, void (*function)(long), long argument,
                      const Range *ranges, int count)
{
    BEGIN();
    if (count > MAX_RANGES)
        hc_abort("%s: %d ranges, at most %d", __func__, count, MAX_RANGES);
    Operation operation = {.kind = CALL, .function = function, .argument = argument,
                           .range_count = count};
    memcpy(operation.ranges, ranges, (size_t)count * sizeof *ranges);
    pthread_mutex_lock(&hc_lock);
    stream = hc_stream(stream, __func__);
    check(&operation, __func__);
    hc_enqueue(stream, operation);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags)
{
    BEGIN();
    *stream = calloc(1, sizeof **stream);
    pthread_mutex_lock(&hc_lock);
    (*stream)->flags = flags;
    (*stream)->context = hc_current();
    (*stream)->next = default_stream.next;
    default_stream.next = *stream;
    hc_counts.streams++;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    hc_stream(stream, __func__);
    if (stream->queue.first != NULL || stream->capture != NULL)
        hc_abort("%s: operations wait in it", __func__);
    CUstream before = streams;
    while (before->next != stream)
        before = before->next;
    before->next = stream->next;
    hc_counts.streams--;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS; /* its memory stays, for events that name it */
}

/* What waits must not be waited for while it is captured; that breaks the capture. */
static int breaks_capture(CUstream stream)
{
    if (stream->capture != NULL)
        stream->capture_is_broken = 1;
    return stream->capture != NULL;
}

CUresult cuStreamSynchronize(CUstream stream)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    stream = hc_stream(stream, __func__);
    int broken = breaks_capture(stream);
    if (!broken)
        drain(stream, stream->queued);
    pthread_mutex_unlock(&hc_lock);
    return broken ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

/* Nothing gets done by asking but one operation, so that a loop that asks comes to its end. */
CUresult cuStreamQuery(CUstream stream)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    stream = hc_stream(stream, __func__);
    int done = stream->queue.first == NULL && !stream->busy;
    if (!done && !stream->busy)
        drain(stream, stream->done + 1);
    pthread_mutex_unlock(&hc_lock);
    return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuCtxSynchronize(void)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    drain_all(0);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned int flags)
{
    (void)flags;
    BEGIN();
    *event = calloc(1, sizeof **event);
    (*event)->context = hc_current();
    pthread_mutex_lock(&hc_lock);
    hc_counts.events++;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event)
{
    BEGIN();
    if (event->context != hc_current())
        hc_abort("%s: the event is of another context", __func__);
    pthread_mutex_lock(&hc_lock);
    hc_counts.events--;
    pthread_mutex_unlock(&hc_lock);
    free(event);
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    stream = hc_stream(stream, __func__);
    if (stream->capture != NULL)
        hc_abort("%s: an event recorded while its stream captures", __func__);
    hc_enqueue(stream, (Operation){.kind = RECORD});
    event->stream = stream;
    event->number = stream->queued;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    if (event->stream != NULL)
        drain(event->stream, event->number);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    int done = event->stream == NULL || event->stream->done >= event->number;
    if (!done && !event->stream->busy)
        drain(event->stream, event->stream->done + 1);
    pthread_mutex_unlock(&hc_lock);
    return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

int hc_graph_waits(CUgraphExec graph)
{
    for (CUstream stream = streams; stream != NULL; stream = stream->next)
        for (Operation *o = stream->queue.first; o != NULL; o = o->next)
            if (o->graph == graph)
                return 1;
    return 0;
}
