"""Going on with a training: built again from what was written down when it began.

- ``resume.py``       ``resume()``
- ``origin.py``       how a training was begun: ``run.json``; ``settings.py``: settings as JSON
- ``experiment.py``   a training of RL Zoo or of our launcher
- ``resumption.py``   what happens before the first step: logs are cut and opened again
"""
