// Two things that decoding needs and torch has no operation for.
//
// 1. Attention of a few queries that share many keys: all hypotheses of a sentence in a beam search. A vector holds one
//    number of each query. So every key and value is read once for all queries, softmax works lane by lane, and sums
//    run over the keys in their order: what is hidden changes no bit of a result.
// 2. Rows of numbers as bytes, each row with its own scale, in one pass; and the scales put back after a product.

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

namespace {

typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t Shorts __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint16_t BFloat16;  // the upper half of a float

constexpr int KEYS = 16;    // whose sums grow side by side, which hides the time that one addition takes
constexpr int QUERIES = 10;  // the same for outputs; fewer where there are fewer registers
constexpr int FEW_QUERIES = 5;
constexpr int64_t LINE = 64;           // bytes of a cache line
constexpr int64_t KEYS_AHEAD = 4096;   // bytes to ask for before they are needed; processors stop guessing at the end
constexpr int64_t VALUES_AHEAD = 2048;  // of a page. Measured, 6 layers of bfloat16: a third of the time

struct Call {
    const float *queries;
    const void *keys, *values;
    const float *bias;  // may be null
    float *output;
    // Strides count numbers. Those of the bias are 0 where it is the same for all.
    int64_t query_strides[3], key_strides[3], value_strides[3], bias_strides[4], output_strides[3];
    int64_t sentences, heads, queries_each, keys_each, width;
    int64_t in_bfloat16, threads;
    float scale;
};

inline Floats everywhere(float number) { return number - Floats{}; }
inline Floats &at(float *place) { return *reinterpret_cast<Floats *>(place); }
inline Floats wide(const float *place) { return *reinterpret_cast<const Floats *>(place); }
inline Floats wide(const BFloat16 *place) {
    return (Floats)(__builtin_convertvector(*reinterpret_cast<const Shorts *>(place), Integers) << 16);
}

// 1.5 * 2^23, which has no place for fractions: a number of at most 2^22 that is added rounds to an integer, whose last
// bits are those of the sum.
inline Floats rounding() { return everywhere(12582912.0f); }

inline BFloat16 narrow(float number) {
    uint32_t bits;
    memcpy(&bits, &number, 4);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// e to the power of numbers up to 0, and 0 below -87: 2^n e^r with |r| <= ln(2) / 2, and Taylor's polynomial of e^r.
inline Floats exponential(Floats x) {
    Floats shifted = x * 1.44269504f + rounding();
    Floats n = shifted - rounding();
    Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Floats power = everywhere(1.0f / 5040);
    const float coefficients[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    for (float coefficient : coefficients) power = power * r + coefficient;
    Integers bits = (Integers)power + ((Integers)shifted << 23);
    return (Floats)(bits & (x > everywhere(-87.0f)));
}

// Queries of one head, column by column: `asked[d]` holds number d of each.
inline void lay_out(const Call &call, const float *queries, int64_t count, const float *, float *asked) {
    for (int64_t d = 0; d < call.width; d++)
        for (int64_t lane = 0; lane < LANES; lane++)
            asked[d * LANES + lane] = lane < count ? call.scale * queries[lane * call.query_strides[2] + d] : 0.0f;
}

template <int COUNT>
inline void add_scores(const Call &call, const float *keys, const float *asked, float *scores) {
    Floats sums[COUNT];
    for (int key = 0; key < COUNT; key++) sums[key] = at(scores + key * LANES);
    for (int64_t d = 0; d < call.width; d++) {
        Floats query = wide(asked + d * LANES);
        for (int key = 0; key < COUNT; key++) sums[key] += query * keys[key * call.key_strides[2] + d];
    }
    for (int key = 0; key < COUNT; key++) at(scores + key * LANES) = sums[key];
}

#if LANES == 16 && defined(__AVX512BF16__)

// Two numbers of each query in a lane, for products of pairs.
inline void lay_out(const Call &call, const float *queries, int64_t count, const BFloat16 *, float *asked) {
    BFloat16 *pairs = reinterpret_cast<BFloat16 *>(asked);
    for (int64_t d = 0; d < call.width; d++)
        for (int64_t lane = 0; lane < LANES; lane++)
            pairs[(d / 2 * LANES + lane) * 2 + d % 2] =
                lane < count ? narrow(call.scale * queries[lane * call.query_strides[2] + d]) : 0;
}

template <int COUNT>
inline void add_scores(const Call &call, const BFloat16 *keys, const float *asked, float *scores) {
    __m512 sums[COUNT];
    for (int key = 0; key < COUNT; key++) sums[key] = _mm512_loadu_ps(scores + key * LANES);
    for (int64_t pair = 0; pair < call.width / 2; pair++) {
        __m512bh query = (__m512bh)_mm512_loadu_ps(asked + pair * LANES);
        for (int key = 0; key < COUNT; key++) {
            float both;
            memcpy(&both, keys + key * call.key_strides[2] + 2 * pair, 4);
            sums[key] = _mm512_dpbf16_ps(sums[key], query, (__m512bh)_mm512_set1_ps(both));
        }
    }
    for (int key = 0; key < COUNT; key++) _mm512_storeu_ps(scores + key * LANES, sums[key]);
}

#else

inline void lay_out(const Call &call, const float *queries, int64_t count, const BFloat16 *, float *asked) {
    lay_out(call, queries, count, static_cast<const float *>(nullptr), asked);
}

template <int COUNT>
inline void add_scores(const Call &call, const BFloat16 *keys, const float *asked, float *scores) {
    for (int key = 0; key < COUNT; key++, keys += call.key_strides[2]) {
        Floats sum = at(scores + key * LANES);
        for (int64_t first = 0; first < call.width; first += LANES) {
            Floats numbers = wide(keys + first);
            for (int d = 0; d < LANES; d++) sum += wide(asked + (first + d) * LANES) * numbers[d];
        }
        at(scores + key * LANES) = sum;
    }
}

#endif

// Scores in, weights out, which are not divided by their sums yet; returns what divides them.
inline Floats softmax(float *weights, int64_t keys) {
    Floats largest = at(weights), sum = Floats{};
    for (int64_t key = 1; key < keys; key++) {
        Floats score = at(weights + key * LANES);
        largest = score > largest ? score : largest;
    }
    for (int64_t key = 0; key < keys; key++) {
        Floats weight = exponential(at(weights + key * LANES) - largest);
        sum += weight;
        at(weights + key * LANES) = weight;
    }
    return 1.0f / sum;
}

template <class Number>
inline void ask_for(const Number *first, int64_t count) {
    for (int64_t byte = 0; byte < count * int64_t(sizeof(Number)); byte += LINE)
        __builtin_prefetch(reinterpret_cast<const char *>(first) + byte);
}

template <int COUNT, int PARTS, class Number>
inline void sum_values(const Call &call, const Number *values, const float *weights, const float *shares,
                       float *output) {
    Floats sums[COUNT][PARTS] = {};
    const int64_t ahead = VALUES_AHEAD / (call.width * int64_t(sizeof(Number)));
    for (int64_t key = 0; key < call.keys_each; key++) {
        ask_for(values + (key + ahead) * call.value_strides[2], PARTS * LANES);
        for (int part = 0; part < PARTS; part++) {
            Floats value = wide(values + key * call.value_strides[2] + part * LANES);
            for (int query = 0; query < COUNT; query++) sums[query][part] += value * weights[key * LANES + query];
        }
    }
    for (int query = 0; query < COUNT; query++)
        for (int part = 0; part < PARTS; part++)
            at(output + query * call.output_strides[2] + part * LANES) = sums[query][part] * shares[query];
}

template <int PARTS, class Number>
void sum_parts(const Call &call, const Number *values, const float *weights, const float *shares, float *output,
               int64_t left) {
    while (left > 0) {
        int64_t count = LANES == 16 && left >= QUERIES ? QUERIES : left >= FEW_QUERIES ? FEW_QUERIES : left;
        switch (count) {
            case 1: sum_values<1, PARTS>(call, values, weights, shares, output); break;
            case 2: sum_values<2, PARTS>(call, values, weights, shares, output); break;
            case 3: sum_values<3, PARTS>(call, values, weights, shares, output); break;
            case 4: sum_values<4, PARTS>(call, values, weights, shares, output); break;
            case FEW_QUERIES: sum_values<FEW_QUERIES, PARTS>(call, values, weights, shares, output); break;
            default: sum_values<QUERIES, PARTS>(call, values, weights, shares, output);
        }
        left -= count, weights += count, shares += count, output += count * call.output_strides[2];
    }
}

// The outputs of up to LANES queries of one head. `scratch` has room for queries and weights, LANES numbers each.
template <class Number>
void attend_head(const Call &call, const float *queries, const Number *keys, const Number *values, const float *bias,
                 float *output, int64_t count, float *scratch) {
    float *asked = scratch, *weights = scratch + call.width * LANES, shares[LANES];
    lay_out(call, queries, count, keys, asked);
    memcpy(weights, bias, call.keys_each * LANES * sizeof(float));
    int64_t key = 0, stride = call.key_strides[2], ahead = KEYS_AHEAD / (call.width * int64_t(sizeof(Number)));
    for (; key + KEYS <= call.keys_each; key += KEYS) {
        for (int64_t next = key + ahead; next < key + ahead + KEYS; next++) ask_for(keys + next * stride, call.width);
        add_scores<KEYS>(call, keys + key * stride, asked, weights + key * LANES);
    }
    for (; key < call.keys_each; key++) add_scores<1>(call, keys + key * stride, asked, weights + key * LANES);
    at(shares) = softmax(weights, call.keys_each);
    int64_t d = 0;
    for (; d + 2 * LANES <= call.width; d += 2 * LANES)
        sum_parts<2>(call, values + d, weights, shares, output + d, count);
    for (; d < call.width; d += LANES) sum_parts<1>(call, values + d, weights, shares, output + d, count);
}

void lay_out_bias(const Call &call, const float *bias, int64_t count, float *laid) {
    memset(laid, 0, call.keys_each * LANES * sizeof(float));
    if (bias)
        for (int64_t key = 0; key < call.keys_each; key++)
            for (int64_t lane = 0; lane < count; lane++)
                laid[key * LANES + lane] = bias[lane * call.bias_strides[2] + key * call.bias_strides[3]];
}

template <class Number>
void attend_heads(const Call &call, int64_t sentence, int64_t first, int64_t last) {
    size_t bytes = (call.width + 2 * call.keys_each) * LANES * sizeof(float);
    float *scratch = static_cast<float *>(aligned_alloc(64, (bytes + 63) / 64 * 64));
    float *laid = scratch + (call.width + call.keys_each) * LANES;
    for (int64_t query = 0; query < call.queries_each; query += LANES) {
        int64_t count = call.queries_each - query < LANES ? call.queries_each - query : LANES;
        for (int64_t head = first; head < last; head++) {
            auto place = [=](const int64_t *strides) {
                return sentence * strides[0] + head * strides[1] + query * strides[2];
            };
            if (head == first || call.bias_strides[1])
                lay_out_bias(call, call.bias ? call.bias + place(call.bias_strides) : nullptr, count, laid);
            int64_t all_keys[3] = {call.key_strides[0], call.key_strides[1], 0};
            int64_t all_values[3] = {call.value_strides[0], call.value_strides[1], 0};
            attend_head(call, call.queries + place(call.query_strides),
                        static_cast<const Number *>(call.keys) + place(all_keys),
                        static_cast<const Number *>(call.values) + place(all_values), laid,
                        call.output + place(call.output_strides), count, scratch);
        }
    }
    free(scratch);
}

inline Bytes as_bytes(Floats numbers) {
    return __builtin_convertvector((Integers)(numbers + rounding()) ^ 128, Bytes);
}

void row_as_bytes(const float *numbers, int64_t width, float levels, uint8_t *bytes, float *largest) {
    Floats most = everywhere(1.17549435e-38f);
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        Floats number = wide(numbers + i), size = number < -number ? -number : number;
        most = size > most ? size : most;
    }
    *largest = most[0];
    for (int lane = 1; lane < LANES; lane++) *largest = most[lane] > *largest ? most[lane] : *largest;
    for (; i < width; i++) {
        float size = numbers[i] < 0 ? -numbers[i] : numbers[i];
        *largest = size > *largest ? size : *largest;
    }
    float scale = levels / *largest;
    for (i = 0; i + LANES <= width; i += LANES)
        *reinterpret_cast<Bytes *>(bytes + i) = as_bytes(wide(numbers + i) * scale);
    for (; i < width; i++) bytes[i] = as_bytes(everywhere(numbers[i] * scale))[0];
}

}  // namespace

extern "C" void attend(const Call *call) {
    int64_t pieces = call->threads == 1 ? 1 : (2 * call->threads + call->sentences - 1) / call->sentences;
    int64_t heads = (call->heads + pieces - 1) / pieces;  // of one piece of work
#pragma omp parallel for num_threads(call->threads) collapse(2) if (call->threads > 1)
    for (int64_t sentence = 0; sentence < call->sentences; sentence++)
        for (int64_t first = 0; first < call->heads; first += heads) {
            int64_t last = first + heads < call->heads ? first + heads : call->heads;
            if (call->in_bfloat16)
                attend_heads<BFloat16>(*call, sentence, first, last);
            else
                attend_heads<float>(*call, sentence, first, last);
        }
}

// Rows `(count, width)` as bytes around 128, so that the largest number of a row is `levels` away; and these numbers.
extern "C" void to_bytes(const float *rows, int64_t count, int64_t width, float levels, uint8_t *bytes, float *largest,
                         int64_t threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t row = 0; row < count; row++)
        row_as_bytes(rows + row * width, width, levels, bytes + row * width, largest + row);
}

// Each row times its scale, plus a bias `(width,)` if there is one, in place.
extern "C" void scale_rows(float *rows, int64_t count, int64_t width, const float *scales, const float *bias,
                           int64_t threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t row = 0; row < count; row++) {
        float *numbers = rows + row * width, scale = scales[row];
        if (bias)
            for (int64_t i = 0; i < width; i++) numbers[i] = numbers[i] * scale + bias[i];
        else
            for (int64_t i = 0; i < width; i++) numbers[i] *= scale;
    }
}
