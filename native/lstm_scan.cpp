#include "lstm.h"
#include "recurrent.h"

SWEEPSEG_RECURRENCE(lstm_scan, LSTM)
