"""Worker side. How pages write dates and times: as the lists, the logs and the configuration file do, in every language.

Django finds the module of each language by its name, below what FORMAT_MODULE_PATH says. Seconds are kept in forms: one that
showed only minutes would change the moment that it was opened with.
"""
