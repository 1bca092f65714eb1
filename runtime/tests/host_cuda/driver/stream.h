/* What streams hold, shared by stream.c and graph.c. */
#ifndef HOST_CUDA_STREAM_H
#define HOST_CUDA_STREAM_H

#include "host_cuda.h"

typedef struct Operation {
    enum { COPY, CALL, RECORD } kind;
    uint64_t to, from; /* COPY: device addresses, or the host's own */
    size_t bytes;
    int to_host, from_host;
    void (*function)(long); /* CALL */
    long argument;
    Range ranges[MAX_RANGES]; /* the device memory that a CALL uses */
    int range_count;
    CUgraphExec graph; /* that it was launched with */
    long number;       /* counted per stream */
    struct Operation *next;
} Operation;

typedef struct Queue {
    Operation *first, *last;
} Queue;

struct CUgraph_st {
    Queue operations;
};
struct CUgraphExec_st {
    Queue operations;
};
struct CUstream_st {
    Queue queue;
    CUgraph capture; /* where operations go instead while it captures */
    CUcontext context;
    unsigned int flags;
    int busy, capture_is_broken;
    long queued, done; /* numbers of operations */
    struct CUstream_st *next;
};
struct CUevent_st {
    CUcontext context;
    CUstream stream; /* where it was recorded, NULL before that */
    long number;
};

void hc_append(Queue *queue, const Operation *operation);
void hc_discard(Queue *queue);

/* The stream that a handle is; aborts where it is none, or another context's. */
CUstream hc_stream(CUstream stream, const char *what);

/* Puts an operation behind what waits in a stream, or into the graph that it captures. */
void hc_enqueue(CUstream stream, Operation operation);

/* Whether an operation of this graph waits in a stream. */
int hc_graph_waits(CUgraphExec graph);

#endif
