from django.core.files.storage import FileSystemStorage


class DurableFileSystemStorage(FileSystemStorage):
    pass
