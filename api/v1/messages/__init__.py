"""Operations on received mail: lists and conversations, one message and its files, actions, exports, reading anew."""
