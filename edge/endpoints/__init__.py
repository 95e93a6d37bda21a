"""From a path to its handler: the paid ones, the account's, the public ones and the operator's."""
