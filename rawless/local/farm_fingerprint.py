"""FARM_FINGERPRINT of texts of more than 64 bytes, which bqemulator 1.4.0 computes otherwise than BigQuery does.

It is Fingerprint64 of FarmHash (https://github.com/google/farmhash), whose names the variables have.
"""

from bqemulator.sql import builtin_udfs as farm_hash

_MASK = 2**64 - 1
_SEED = 81
_BLOCK = 64
_State = tuple[int, int, int, int, int, int, int]


def hash_of_long_text(data: bytes) -> int:
    """Return the hash of more than 64 bytes as an unsigned number."""
    k0, k1, k2 = farm_hash._FH_K0, farm_hash._FH_K1, farm_hash._FH_K2
    y = (_SEED * k1 + 113) & _MASK
    z = farm_hash._fh_shift_mix((y * k2 + 113) & _MASK) * k2 & _MASK
    x = (_SEED * k2 + farm_hash._fh_fetch64(data, 0)) & _MASK
    state: _State = (x, y, z, 0, 0, 0, 0)
    for start in range(0, (len(data) - 1) // _BLOCK * _BLOCK, _BLOCK):
        state = _mix(data, start, state, k1, 1)
    x, y, z, v_first, v_second, w_first, w_second = state
    mul = (k1 + ((z & 0xFF) << 1)) & _MASK
    w_first += (len(data) - 1) & (_BLOCK - 1)
    v_first += w_first
    w_first += v_first
    state = (x, y, z, v_first & _MASK, v_second, w_first & _MASK, w_second)
    x, y, z, v_first, v_second, w_first, w_second = _mix(data, len(data) - _BLOCK, state, mul, 9)
    combine = farm_hash._fh_hash_len_16_mul
    first = (combine(v_first, w_first, mul) + farm_hash._fh_shift_mix(y) * k0 + z) & _MASK
    return int(combine(first, (combine(v_second, w_second, mul) + x) & _MASK, mul))


def _mix(data: bytes, start: int, state: _State, mul: int, factor: int) -> _State:
    """Return the state after 64 bytes from `start`; x and z have changed places."""
    fetch, rotate, weak = farm_hash._fh_fetch64, farm_hash._fh_rotate, farm_hash._fh_weak_hash_len_32_with_seeds
    x, y, z, v_first, v_second, w_first, w_second = state
    x = rotate((x + y + v_first + fetch(data, start + 8)) & _MASK, 37) * mul & _MASK
    y = rotate((y + v_second + fetch(data, start + 48)) & _MASK, 42) * mul & _MASK
    x ^= w_second * factor & _MASK
    y = (y + v_first * factor + fetch(data, start + 40)) & _MASK
    z = rotate((z + w_first) & _MASK, 33) * mul & _MASK
    v_first, v_second = weak(data, start, v_second * mul & _MASK, (x + w_first) & _MASK)
    w = weak(data, start + 32, (z + w_second) & _MASK, (y + fetch(data, start + 16)) & _MASK)
    return z, y, x, v_first, v_second, *w


def correct() -> None:
    """Let the local BigQuery's FARM_FINGERPRINT return what BigQuery's does."""
    farm_hash._fh_hash_len_long = hash_of_long_text
